#include <iostream>

#include "cli/cli.h"

int main(int argc, char** argv) {
  return countersign::cli::RunCli(
      {argv + 1, argv + argc},
      countersign::cli::Output(std::cout, std::cerr, countersign::cli::WantsColor()));
}
