//! Drives on the command line.
