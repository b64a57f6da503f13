// tessera-log appends to a log in a folder by Tessera's POSIX storage, and returns when a checkpoint
// that covers the entries is published.
//
//	tessera-log -storage DIR -key FILE [-policy FILE] -entries N -text WORD
//
// The entries are "WORD 0", "WORD 1" and so on. A checkpoint is published when the witnesses of the
// C2SP tlog-policy have cosigned it. What they answer is printed, a status a line. It exits with 3
// when one refuses: answers with anything but 200, or 409 and its size.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

var errRefused = errors.New("a witness refused")

// witnessWatch is the way to the witnesses; it ends everything when one refuses.
type witnessWatch struct{ cancel context.CancelCauseFunc }

func (w witnessWatch) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	fmt.Println(response.StatusCode)
	isSize := response.StatusCode == http.StatusConflict &&
		response.Header.Get("Content-Type") == "text/x.tlog.size"
	if response.StatusCode != http.StatusOK && !isSize {
		w.cancel(fmt.Errorf("%w: %s", errRefused, response.Status))
	}
	return response, nil
}

func main() {
	storage := flag.String("storage", "", "folder of the log")
	keyFile := flag.String("key", "", "file of the log's private key, in the form of Go's sumdb/note")
	policyFile := flag.String("policy", "", "C2SP tlog-policy with the witnesses; none if empty")
	entries := flag.Int("entries", 0, "how many entries to append")
	text := flag.String("text", "entry", "what the entries begin with")
	timeout := flag.Duration("timeout", 30*time.Second, "for everything")
	flag.Parse()
	bounded, stop := context.WithTimeout(context.Background(), *timeout)
	defer stop()
	ctx, cancel := context.WithCancelCause(bounded)
	err := run(ctx, cancel, *storage, *keyFile, *policyFile, *text, *entries)
	if cause := context.Cause(ctx); errors.Is(cause, errRefused) {
		fmt.Fprintln(os.Stderr, "tessera-log:", cause)
		os.Exit(3)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tessera-log:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cancel context.CancelCauseFunc, storage, keyFile, policyFile,
	text string, entries int) error {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(key)))
	if err != nil {
		return err
	}
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithCheckpointInterval(100*time.Millisecond).
		WithBatching(256, 20*time.Millisecond)
	if policyFile != "" {
		policy, err := os.ReadFile(policyFile)
		if err != nil {
			return err
		}
		witnesses, err := tessera.NewWitnessGroupFromPolicy(policy)
		if err != nil {
			return err
		}
		options = options.WithWitnesses(witnesses, nil)
	}
	driver, err := posix.New(ctx, posix.Config{
		Path:       storage,
		HTTPClient: &http.Client{Transport: witnessWatch{cancel}},
	})
	if err != nil {
		return err
	}
	appender, _, reader, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		return err
	}
	futures := make([]tessera.IndexFuture, 0, entries)
	for i := 0; i < entries; i++ {
		entry := tessera.NewEntry([]byte(fmt.Sprintf("%s %d", text, i)))
		futures = append(futures, appender.Add(ctx, entry))
	}
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)
	for _, future := range futures {
		if _, _, err := awaiter.Await(ctx, future); err != nil {
			return err
		}
	}
	return nil
}
