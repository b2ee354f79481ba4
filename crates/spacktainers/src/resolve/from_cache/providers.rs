//! Providers of virtual packages that Spack prefers where nobody says otherwise, best first.
//!
//! What a configuration says comes before these, as lists of higher scopes do.
//!
//! Source: `etc/spack/defaults/base/packages.yaml` in Spack 1.1.0. Languages and the like, whose providers do not compete, are
//! left out.

const DEFAULTS: [(&str, &[&str]); 38] = [
    ("armci", &["armcimpi"]),
    ("awk", &["gawk"]),
    ("blas", &["openblas", "amdblis"]),
    ("daal", &["intel-oneapi-daal"]),
    ("elf", &["elfutils"]),
    ("fftw-api", &["fftw", "amdfftw"]),
    ("flame", &["libflame", "amdlibflame"]),
    ("fuse", &["libfuse"]),
    ("gl", &["glx", "osmesa"]),
    ("glu", &["mesa-glu", "openglu"]),
    ("golang", &["go", "gcc"]),
    ("iconv", &["libiconv"]),
    ("ipp", &["intel-oneapi-ipp"]),
    ("java", &["openjdk", "jdk"]),
    ("jpeg", &["libjpeg-turbo", "libjpeg"]),
    ("lapack", &["openblas", "amdlibflame"]),
    ("libglx", &["mesa+glx"]),
    ("libllvm", &["llvm"]),
    ("lua-lang", &["lua", "lua-luajit-openresty", "lua-luajit"]),
    ("luajit", &["lua-luajit-openresty", "lua-luajit"]),
    ("mariadb-client", &["mariadb-c-client", "mariadb"]),
    ("mkl", &["intel-oneapi-mkl"]),
    ("mpi", &["openmpi", "mpich"]),
    ("mysql-client", &["mysql", "mariadb-c-client"]),
    ("opencl", &["pocl"]),
    ("pbs", &["openpbs", "torque"]),
    ("pkgconfig", &["pkgconf", "pkg-config"]),
    ("qmake", &["qt-base", "qt"]),
    ("rpc", &["libtirpc"]),
    ("scalapack", &["netlib-scalapack", "amdscalapack"]),
    ("sycl", &["hipsycl"]),
    ("szip", &["libaec", "libszip"]),
    ("tbb", &["intel-tbb"]),
    ("unwind", &["libunwind"]),
    ("uuid", &["util-linux-uuid", "libuuid"]),
    ("xxd", &["xxd-standalone", "vim"]),
    ("yacc", &["bison", "byacc"]),
    ("zlib-api", &["zlib-ng+compat", "zlib"]),
];

/// Virtual packages with their providers, as specs.
pub(super) fn defaults() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    DEFAULTS.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use spack_format::spec::Spec;

    #[test]
    fn they_are_specs_in_order() {
        assert!(DEFAULTS.is_sorted_by_key(|it| it.0));
        for (name, providers) in defaults() {
            assert!(!providers.is_empty(), "{name}");
            for text in providers {
                assert!(
                    Spec::parse(text).is_ok_and(|it| it.name.is_some()),
                    "{text}"
                );
            }
        }
    }
}
