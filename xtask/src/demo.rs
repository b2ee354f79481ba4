//! The README's first command: the main job on the embedded demo.

use std::process::Command;

use anyhow::Result;

use crate::tool::{cargo, root, run, say};

/// Builds the demo's container onto a Debian base, then runs it.
pub(crate) fn run_demo() -> Result<()> {
    run(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "spacktainers-cli",
    ]))?;
    let program = root().join("target/release/spacktainers");
    let spacktainers = || {
        let mut command = Command::new(&program);
        command.args(["--project", "demo"]);
        command
    };
    run(spacktainers().arg("check"))?;
    run(spacktainers().args(["build", "spike", "--to", "oci:target/demo/spike:demo"]))?;
    run(spacktainers().args(["run", "oci:target/demo/spike:demo", "--", "spike-demo"]))?;
    say("The image lies in target/demo/spike, an OCI layout that skopeo and podman read.");
    Ok(())
}
