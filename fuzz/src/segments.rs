//! A session hears the same in whatever pieces its bytes come.

use std::fmt::Debug;

/// `transcript` gives what a session says and hears of the bytes in pieces of the sizes that it asks for.
pub fn same_in_any_segments<S, T: PartialEq + Debug>(
    sizes: u8,
    bytes: &[u8],
    session: impl Fn() -> S,
    transcript: impl Fn(&mut S, &[u8], &mut dyn FnMut() -> usize) -> T,
) {
    let whole = transcript(&mut session(), bytes, &mut || bytes.len());
    let single = transcript(&mut session(), bytes, &mut || 1);
    let mut n = usize::from(sizes);
    let mixed = transcript(&mut session(), bytes, &mut || {
        n = n * 5 % 251 + 1;
        n
    });
    assert_eq!(whole, single);
    assert_eq!(whole, mixed);
}
