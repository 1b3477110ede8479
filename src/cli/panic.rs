//! An assertion that failed is a bug of ours: the user gets one line to report, no backtrace.

use std::io::Write as _;

/// Installs the hook. `RUST_BACKTRACE=1` keeps the usual long report for developers.
pub fn hook() {
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
        return;
    }
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("unknown").replace('\n', " ");
        let version = env!("CARGO_PKG_VERSION");
        // Nobody is left to tell.
        let _ = writeln!(
            std::io::stderr(),
            "gannet: a bug in gannet {version} at {place}: {what}; please report this line"
        );
    }));
}
