from spack_repo.builtin.build_systems.generic import Package

from spack.package import *


class SpikePlot(Package):
    """Draws spikes as text: a Python script whose interpreter is not in the store."""

    homepage = "https://spacktainers.invalid/demo"
    url = "https://spacktainers.invalid/demo/spike-plot-1.0.0.tar"

    license("Apache-2.0 OR MIT")

    version("1.0.0", sha256="49f886cf8d7155eb11f8793940351eddf258ef58193140c69b5acd6612ae6582")

    depends_on("python@3.8:", type="run")

    def install(self, spec, prefix):
        mkdirp(prefix.bin)
        install("spike-plot", prefix.bin)
        set_executable(prefix.bin.join("spike-plot"))
