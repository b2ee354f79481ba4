import os

from spack_repo.builtin.build_systems.generic import Package

from spack.package import *


class SpikeModels(Package):
    """Models for spike. Its prefix has what is hard to carry from a store into an image."""

    homepage = "https://spacktainers.invalid/demo"
    url = "https://spacktainers.invalid/demo/spike-models-1.0.0.tar"

    license("Apache-2.0 OR MIT")

    version("1.0.0", sha256="c1d6edb88124bef2c13c8edf51b50204c11f00ca1314e9f8c3e4aeff3076c994")

    depends_on("spike@1", type="run")
    depends_on("spike-plot@1", type="run")

    def install(self, spec, prefix):
        interpreter = spec["spike"].prefix.bin.spike

        # The interpreter's path in a padded store is too long for a kernel's `#!` line, so Spack
        # puts its own `sbang` before it after this method.
        filter_file("@SPIKE@", interpreter, "spike-ring", string=True)
        mkdirp(prefix.bin)
        for program in ("spike-ring", "spike-demo"):
            install(program, prefix.bin)
            set_executable(join_path(prefix.bin, program))

        share = join_path(prefix.share, "spike-models")
        mkdirp(share)
        install("ring.spike", share)

        # Two names of one file, a relative and an absolute link, a directory with nothing in it.
        os.link(join_path(share, "ring.spike"), join_path(share, "first.spike"))
        os.symlink("ring.spike", join_path(share, "default.spike"))
        os.symlink(interpreter, join_path(share, "interpreter"))
        mkdirp(join_path(prefix.var, "spike-models", "results"))

        # Longer than the name field of a tar header (100), and than name and prefix together (255).
        for words in (16, 28):
            deep = join_path(share, *(f"recording-{n:02}" for n in range(words // 2)))
            mkdirp(deep)
            name = "-".join(["spikes-of-a-ring-of-eight-neurons"] * (words // 14 + 1)) + ".txt"
            with open(join_path(deep, name), "w") as f:
                f.write("5 0\n10 1\n15 2\n")
