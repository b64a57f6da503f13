"""cc_library, cc_test and cc_binary with the project's warnings.

Third-party code is not built through these, so that the warnings are ours alone.
"""

_COPTS = [
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-missing-field-initializers",
    "-Werror=return-type",
    "-Werror=unused-result",
    "-Werror=switch",
]

def cs_cc_library(name, copts = [], **kwargs):
    native.cc_library(name = name, copts = _COPTS + copts, **kwargs)

def cs_cc_test(name, copts = [], size = "small", **kwargs):
    native.cc_test(name = name, copts = _COPTS + copts, size = size, **kwargs)

def cs_cc_binary(name, copts = [], **kwargs):
    native.cc_binary(name = name, copts = _COPTS + copts, **kwargs)
