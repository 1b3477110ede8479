//! Brings the pinned JavaScript packages onto this machine, once for all tests and all runs.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MISSING: &str = "the interop tests need Node.js 18 or newer with npm in PATH; \
                       GANNET_NO_INTEROP=1 leaves them out";

/// Whether the interop tests are left out; says so past the capture of test output.
pub fn left_out() -> bool {
    let out = std::env::var_os("GANNET_NO_INTEROP").is_some_and(|value| value == "1");
    if out {
        let name = std::thread::current().name().unwrap_or("test").to_owned();
        let _ = writeln!(std::io::stderr(), "LEFT OUT (GANNET_NO_INTEROP=1): {name}");
    }
    out
}

/// The folder of one of `rigs/`, with its packages installed.
pub fn rig(name: &str) -> PathBuf {
    need_node();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/rigs").join(name);
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(name);
    fs::create_dir_all(&to).expect("a folder below the target directory");
    let lock = File::create(to.join("install.lock")).expect("a lock file");
    lock.lock().expect("the installation lock");
    for entry in fs::read_dir(&from).expect("the rig's sources") {
        let path = entry.expect("a source").path();
        if path.is_file() {
            copy_if_changed(&path, &to.join(path.file_name().expect("a name")));
        }
    }
    let wanted = fs::read_to_string(to.join("package-lock.json")).expect("package-lock.json");
    let stamp = to.join("installed");
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&wanted) {
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        let output = npm.current_dir(&to).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|_| panic!("{MISSING}"));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm ci for the rig {name} failed: {}", told.trim());
        fs::write(&stamp, wanted).expect("the installation's stamp");
    }
    to
}

fn need_node() {
    let answer = Command::new("node").arg("--version").output().ok();
    let version = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let major =
        version.as_deref().and_then(|text| text.trim().strip_prefix('v')?.split('.').next());
    let major: u32 = major.and_then(|text| text.parse().ok()).unwrap_or(0);
    assert!(major >= 18, "{MISSING}");
}

fn copy_if_changed(from: &Path, to: &Path) {
    let bytes = fs::read(from).expect("a source");
    if fs::read(to).ok().as_ref() != Some(&bytes) {
        // Renamed into place: another test may be starting Node on it just now.
        let beside = to.with_extension("new");
        fs::write(&beside, bytes).expect("a copy of a source");
        fs::rename(&beside, to).expect("a copy of a source");
    }
}
