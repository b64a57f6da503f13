"""cs_fuzz_test: a parser of outside bytes, run over its corpus and mutations of it."""

load("//bazel:cc.bzl", "cs_cc_test")

def cs_fuzz_test(name, deps):
    """<name>_fuzz.cc with corpus/<name>/ as an ordinary test, also under the sanitizers.

    The source defines LLVMFuzzerTestOneInput, so that libFuzzer can drive it too.

    Args:
      name: of the target; the test is <name>_fuzz.
      deps: the libraries under test.
    """
    cs_cc_test(
        name = name + "_fuzz",
        srcs = [name + "_fuzz.cc"],
        args = [native.package_name() + "/corpus/" + name],
        data = native.glob(["corpus/" + name + "/*"]),
        deps = deps + [
            "//tests/fuzz:driver",
            "//tests/fuzz:property",
        ],
    )
