//! The command line: words in, one function a command, an exit code out. Thin: what a command does
//! is in the library.

/// Runs the program; the exit code.
pub fn main() -> i32 {
    0
}
