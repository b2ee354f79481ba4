from spack_repo.builtin.build_systems.makefile import MakefilePackage

from spack.package import *


class Libspike(MakefilePackage):
    """Networks of leaky integrate-and-fire neurons: a small C library."""

    homepage = "https://spacktainers.invalid/demo"
    url = "https://spacktainers.invalid/demo/libspike-1.0.0.tar"

    license("Apache-2.0 OR MIT")

    version("1.0.0", sha256="275c5b058f83afb50e49849575bec854631f603076e1659b3991418b83ed0273")

    depends_on("c", type="build")

    def install(self, spec, prefix):
        make("install", f"prefix={prefix}")
