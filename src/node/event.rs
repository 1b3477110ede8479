//! What happened, for those who watch.
