"""cc_grpc_library: C++ messages and gRPC stubs from .proto files, by Debian's protoc."""

def cc_grpc_library(name, srcs, deps = [], grpc = True, proto_root = "proto", visibility = None):
    """Generates and compiles the .pb and .grpc.pb files of `srcs`.

    Args:
      name: the cc_library that results.
      srcs: .proto files, paths below this package.
      deps: other cc_grpc_library targets whose files are imported.
      grpc: whether to generate service stubs too.
      proto_root: the folder that import paths start from.
      visibility: of the library.
    """
    outs_h = [s.replace(".proto", ".pb.h") for s in srcs]
    outs_cc = [s.replace(".proto", ".pb.cc") for s in srcs]
    plugin = ""
    if grpc:
        outs_h += [s.replace(".proto", ".grpc.pb.h") for s in srcs]
        outs_cc += [s.replace(".proto", ".grpc.pb.cc") for s in srcs]
        plugin = "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin --grpc_out=$(RULEDIR) "
    native.filegroup(
        name = name + "_protos",
        srcs = srcs + [d + "_protos" for d in deps],
    )
    native.genrule(
        name = name + "_gen",
        srcs = srcs + [d + "_protos" for d in deps],
        outs = outs_h + outs_cc,
        cmd = "/usr/bin/protoc -I{root} -I$(GENDIR)/{root} -I/usr/include --cpp_out=$(RULEDIR) {plugin}{srcs}".format(
            root = proto_root,
            plugin = plugin,
            srcs = " ".join(["$(location %s)" % s for s in srcs]),
        ),
        message = "Generating stubs of " + name,
    )
    native.cc_library(
        name = name,
        srcs = outs_cc,
        hdrs = outs_h,
        copts = ["-Wno-unused-parameter"],
        includes = ["."],
        visibility = visibility,
        deps = deps + ["//bazel/system:protobuf"] + (["//bazel/system:grpcpp"] if grpc else []),
    )
