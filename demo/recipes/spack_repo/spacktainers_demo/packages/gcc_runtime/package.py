from spack_repo.builtin.build_systems.generic import Package

from spack.package import *


class GccRuntime(Package):
    """Takes the place of Spack's gcc-runtime, to keep compiler libraries out of this repository.

    Spack makes every package that gcc compiled link to a package of this name. The demo is plain C
    and needs nothing but the libc of the base image.
    """

    homepage = "https://spacktainers.invalid/demo"
    has_code = False
    tags = ["runtime"]

    license("Apache-2.0 OR MIT")

    # The versions are declared by the compiler.
    skip_version_audit = ["platform=linux"]

    depends_on("gcc", type="build")
    depends_on("libc", type="link", when="platform=linux")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)  # is in the RPATH of every program
        doc = prefix.share.doc.join("gcc-runtime")
        mkdirp(doc)
        with open(join_path(doc, "README"), "w") as f:
            f.write("No libraries: the demo's programs need only the libc of the base image.\n")
