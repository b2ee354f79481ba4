//! Whether programs find their libraries, asked of the image's own dynamic linker.
//!
//! Source: ld.so(8): `--verify` says by its status whether it would load a file (0, or 2 where the file names another
//! linker), `--list` which libraries it would load.

use crate::base::BaseArchitecture;

/// Asks for every file in folders `$2 …` by the linker `$1`; one that is not there is no reason to fail: a base without glibc
/// has none. No program is started.
const SCRIPT: &str = r#"
linker=$1; shift; failed=0
[ -x "$linker" ] || { echo "there is no $linker in the image: programs were not tried"; exit 0; }
for folder in "$@"; do
  for program in "$folder"/*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    "$linker" --verify "$program" >/dev/null 2>&1; status=$?
    [ $status -eq 0 ] || [ $status -eq 2 ] || continue
    if ! listed=$("$linker" --list "$program" 2>&1); then
      echo "$program cannot be loaded: $listed"; failed=1; continue
    fi
    case $listed in
      *"not found"*) echo "$program lacks libraries:"; echo "$listed" | while read -r line; do
          case $line in *"not found"*) echo "  $line";; esac; done; failed=1;;
    esac
  done
done
exit $failed
"#;

/// The command, for the image's shell.
pub(super) fn command(architecture: BaseArchitecture, folders: &[String]) -> Vec<String> {
    let linker = match architecture {
        BaseArchitecture::Amd64 => "/lib64/ld-linux-x86-64.so.2",
        BaseArchitecture::Arm64 => "/lib/ld-linux-aarch64.so.1",
    };
    let begin = ["/bin/sh", "-c", SCRIPT, "sh", linker].map(str::to_owned);
    begin.into_iter().chain(folders.iter().cloned()).collect()
}
