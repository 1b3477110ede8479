//! Linux.

/// What to do with the process's signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signals {
    /// Leave them alone: the embedder's business.
    Leave,
    /// Hook SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGCHLD.
    Hook,
    /// As `Hook`; a second SIGTERM or SIGINT ends the process at once, even if the loop hangs.
    HookExitOnSecond,
}
