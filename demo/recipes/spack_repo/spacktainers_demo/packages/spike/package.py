from spack_repo.builtin.build_systems.makefile import MakefilePackage

from spack.package import *


class Spike(MakefilePackage):
    """Runs scripts that describe a network of neurons, and prints its spikes."""

    homepage = "https://spacktainers.invalid/demo"
    url = "https://spacktainers.invalid/demo/spike-1.0.0.tar"

    license("Apache-2.0 OR MIT")

    version("1.0.0", sha256="9ca8df506c2c1544207352d1d2deafadde07be1bbc27a590171b9660e3d5978e")

    depends_on("c", type="build")
    depends_on("libspike@1", type=("build", "link"))

    def install(self, spec, prefix):
        make("install", f"prefix={prefix}")
