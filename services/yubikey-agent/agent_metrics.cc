#include "services/yubikey-agent/agent_metrics.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/sessions.h"

namespace countersign::yubikey {
namespace {

double CountOf(const CardPool& pool, CardState state) {
  const std::vector<CardInfo> cards = pool.Cards();
  return static_cast<double>(std::count_if(
      cards.begin(), cards.end(), [state](const CardInfo& card) { return card.state == state; }));
}

}  // namespace

const OperationMetrics::Handles& OperationMetrics::Of(absl::string_view operation) {
  base::MutexLock lock(&mutex_);
  auto found = handles_.find(operation);
  if (found == handles_.end()) {
    const std::string name(operation);
    const auto counter = [&](const char* result) {
      return metrics_->AddCounter("countersign_yubikey_operations_total",
                                  "Operations of cards, by what came of them.",
                                  {{"operation", name}, {"result", result}});
    };
    found = handles_
                .emplace(name, Handles{counter("ok"), counter("failed"),
                                       metrics_->AddHistogram(
                                           "countersign_yubikey_card_seconds",
                                           "Time that operations took on their card, with touches "
                                           "that were waited for.",
                                           runtime::LatencyBounds(), {{"operation", name}}),
                                       metrics_->AddHistogram(
                                           "countersign_yubikey_queue_seconds",
                                           "Time that operations waited for their card.",
                                           runtime::LatencyBounds(), {{"operation", name}})})
                .first;
  }
  return found->second;
}

void OperationMetrics::Observe(absl::string_view operation, bool ok, absl::Duration on_card,
                               absl::Duration queued) {
  const Handles& handles = Of(operation);
  (ok ? handles.done : handles.failed)->Increment();
  handles.on_card->Observe(absl::ToDoubleSeconds(on_card));
  handles.queued->Observe(absl::ToDoubleSeconds(queued));
}

void ExportState(const CardPool* pool, const Sessions* sessions, runtime::Metrics* metrics) {
  const std::pair<const char*, CardState> states[] = {
      {"ready", CardState::kReady}, {"locked", CardState::kLocked}, {"failed", CardState::kFailed}};
  for (const auto& [name, state] : states) {
    metrics->AddGaugeFunction("countersign_yubikey_cards", "Cards that are there, by state.",
                              [pool, state = state] { return CountOf(*pool, state); },
                              {{"state", name}});
  }
  metrics->AddGaugeFunction("countersign_yubikey_queued_jobs",
                            "Jobs that wait for a card or run on one, of all cards.", [pool] {
                              double jobs = 0;
                              for (const CardInfo& card : pool->Cards()) jobs += card.queued;
                              return jobs;
                            });
  metrics->AddGaugeFunction("countersign_yubikey_pin_tries_left",
                            "The fewest tries that any card's PIN has left, as last seen; -1 when "
                            "none is known.",
                            [pool] {
                              double least = -1;
                              for (const CardInfo& card : pool->Cards()) {
                                if (!card.pin_tries.has_value()) continue;
                                if (least < 0 || *card.pin_tries < least) least = *card.pin_tries;
                              }
                              return least;
                            });
  const std::pair<const char*, uint64_t CardCounters::*> fates[] = {
      {"expired", &CardCounters::expired},
      {"refused", &CardCounters::refused},
      {"moved", &CardCounters::moved}};
  for (const auto& [name, member] : fates) {
    metrics->AddCounterFunction(
        "countersign_yubikey_jobs_total",
        "Jobs that their first card did not do: their deadline passed, the queue was full, or "
        "another card took them over.",
        [pool, member = member] { return static_cast<double>(pool->counters().*member); },
        {{"fate", name}});
  }
  metrics->AddCounterFunction("countersign_yubikey_removals_total", "Cards that were pulled.",
                              [pool] { return static_cast<double>(pool->counters().removals); });
  metrics->AddGaugeFunction("countersign_yubikey_sessions", "Open sessions.",
                            [sessions] { return static_cast<double>(sessions->stats().open); });
  const std::pair<const char*, uint64_t Sessions::Stats::*> events[] = {
      {"opened", &Sessions::Stats::opened},
      {"refused", &Sessions::Stats::refused},
      {"evicted", &Sessions::Stats::evicted}};
  for (const auto& [name, member] : events) {
    metrics->AddCounterFunction(
        "countersign_yubikey_session_events_total",
        "Sessions opened, tokens refused, and sessions evicted to make room.",
        [sessions, member = member] { return static_cast<double>(sessions->stats().*member); },
        {{"event", name}});
  }
}

}  // namespace countersign::yubikey
