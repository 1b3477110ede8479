//! How many files and sockets this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Sees to it that so many descriptors can be open, as far as the system lets an ordinary process; how many
/// can.
pub fn descriptors(wanted: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    let number =
        |limit: Option<u64>| limit.map_or(usize::MAX, |n| n.try_into().unwrap_or(usize::MAX));
    if number(limit.current) < wanted {
        let before = limit.current;
        limit.current = Some(wanted.min(number(limit.maximum)) as u64);
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    number(limit.current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_hard_limit_and_no_less_than_before() {
        let hard = getrlimit(Resource::Nofile).maximum;
        let before = descriptors(1);
        assert!(before >= 1);
        assert_eq!(descriptors(before), before);
        let most = descriptors(usize::MAX >> 1);
        assert!(most >= before && hard.is_none_or(|hard| most as u64 <= hard));
    }
}
