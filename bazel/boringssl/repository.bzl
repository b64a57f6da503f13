"""@boringssl: Debian's BoringSSL source package, pinned, with its own BUILD file and ours after it."""

_UPSTREAM = "13.0.0+r24"
_VERSION = _UPSTREAM + "-2"
_SHA256_ORIG = "583b7aeee1fca68b8244d086cea6fca23bd19d517bd63f0b9de714e048f92a7d"
_SHA256_DEBIAN = "f82d14420e2f4153c5e8be888e95a311c6a592806b3a2c64d920a35400dfd038"

def _boringssl_impl(ctx):
    ctx.report_progress("fetching and unpacking the Debian source package " + _VERSION)
    result = ctx.execute(
        [ctx.path(ctx.attr._fetch), _VERSION, _UPSTREAM, _SHA256_ORIG, _SHA256_DEBIAN],
        timeout = 900,
    )
    if result.return_code != 0:
        fail("BoringSSL: " + result.stdout + result.stderr)
    ctx.file("WORKSPACE", "workspace(name = \"boringssl\")\n")
    ctx.file("BUILD.bazel", ctx.read("BUILD") + ctx.read(ctx.attr._extra))
    ctx.delete("BUILD")

boringssl_repository = repository_rule(
    implementation = _boringssl_impl,
    attrs = {
        "_extra": attr.label(default = "//bazel/boringssl:extra.BUILD"),
        "_fetch": attr.label(default = "//bazel/boringssl:fetch.sh"),
    },
)
