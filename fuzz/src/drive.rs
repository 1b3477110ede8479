//! What a metadata feed says: its head, entries, the tree of their lists, names as paths; and the
//! ignore file of the folder beside it.

use std::path::Component;

use gannet::drive::ignore::Rules;
use gannet::drive::path;
use gannet::drive::stat::{Index, Stat};
use gannet::drive::tree::{self, NodeSource, TreeNode};
use gannet::drive::walk::Diff;

/// One entry; the input's first byte is its number.
pub fn node(data: &[u8]) {
    let (&seq, block) = data.split_first().unwrap_or((&1, &[]));
    if let Ok(index) = Index::decode(block) {
        assert_eq!(Index::decode(&index.encode()), Ok(index));
    }
    let Some(node) = TreeNode::decode(seq.into(), block) else { return };
    for depth in 0..node.depth() + 2 {
        let list: Vec<u64> = node.list(depth).collect();
        assert!(list.is_sorted_by(|a, b| a < b));
        assert!(list.iter().all(|&n| (1..=u64::from(seq)).contains(&n)));
    }
    if let Ok(path) = path::check(&node.name) {
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
    }
    if let Some(Ok(stat)) = node.value.as_deref().map(Stat::decode) {
        let again = Stat::decode(&stat.encode()).expect("our own");
        assert_eq!((again.mode, again.mtime_ms), (stat.mode, stat.mtime_ms));
    }
}

pub fn node_seeds() -> Vec<Vec<u8>> {
    let stat = Stat { mode: 0o100_644, size: 5, blocks: 1, ..Stat::default() }.encode();
    let lists = [vec![2, 5, 9], vec![7, 9], vec![9]];
    let mut put = vec![9];
    put.extend(tree::encode("/a/b", Some(&stat), &lists, true));
    let mut delete = vec![9];
    delete.extend(tree::encode("/a/b", None, &lists[..1], false));
    let mut index = vec![0];
    index.extend(Index { content: [3; 32] }.encode());
    vec![put, delete, index]
}

/// A feed whose blocks stand in the input, each behind its length in two bytes.
struct Log<'a> {
    blocks: Vec<&'a [u8]>,
    reads: usize,
}

impl NodeSource for Log<'_> {
    type Error = ();

    fn block(&mut self, seq: u64, out: &mut Vec<u8>) -> Result<(), ()> {
        self.reads += 1;
        assert!(self.reads < 200_000, "a walk without end");
        let block = usize::try_from(seq).ok().and_then(|seq| self.blocks.get(seq)).ok_or(())?;
        out.extend_from_slice(block);
        Ok(())
    }
}

/// Look-ups in a whole feed, and the walks over it.
pub fn walk(data: &[u8]) {
    let (mut log, mut rest) = (Log { blocks: vec![&[]], reads: 0 }, data);
    while let Some(([high, low], behind)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (block, behind) = behind.split_at(len);
        log.blocks.push(block);
        rest = behind;
        if log.blocks.len() == 64 {
            break;
        }
    }
    let head = log.blocks.len() as u64 - 1;
    for seq in 1..=head {
        if let Ok(node) = tree::node(&mut log, seq) {
            let _ = tree::get(&mut log, head, &node.name);
            let _ = tree::list(&mut log, head, &node.name);
        }
    }
    for mut diff in [Diff::all(head), Diff::new(head / 2, head), Diff::new(head, head / 2)] {
        log.reads = 0;
        while let Ok(Some(_)) = diff.next(&mut log) {}
    }
}

pub fn walk_seeds() -> Vec<Vec<u8>> {
    let names = ["/a", "/b/c", "/b/d", "/e/f/g", "/b/c"];
    let mut blocks: Vec<Vec<u8>> = vec![Vec::new()];
    for (at, name) in names.iter().enumerate() {
        let borrowed = blocks.iter().map(Vec::as_slice).collect();
        let mut log = Log { blocks: borrowed, reads: 0 };
        let head = at as u64;
        let depth = tree::parts(name).count();
        let parts: Vec<&str> = tree::parts(name).collect();
        let lists: Vec<Vec<u64>> = (0..=depth)
            .map(|k| {
                let dir = format!("/{}", parts[..k].join("/"));
                let mut list = tree::list(&mut log, head, &dir).expect("readable");
                list.retain(|&seq| {
                    let other = tree::node(&mut log, seq).expect("readable");
                    other.part(k).is_some() && other.part(k) != parts.get(k).copied()
                });
                list.push(head + 1);
                list
            })
            .collect();
        let block = tree::encode(name, Some(b"x"), &lists, true);
        blocks.push(block);
    }
    let mut seed = Vec::new();
    for block in &blocks[1..] {
        seed.extend((block.len() as u16).to_be_bytes());
        seed.extend(block);
    }
    vec![seed]
}

/// A `.datignore` and, behind a NUL, a path.
pub fn ignore(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (rules, path) = text.split_once('\0').unwrap_or((&text, "a/b/c.txt"));
    let rules = Rules::new(rules);
    for is_dir in [false, true] {
        let _ = rules.ignores(path.as_ref(), is_dir);
    }
}

pub fn ignore_seeds() -> Vec<Vec<u8>> {
    let text = "# no\n*.log\n!keep.log\n/build/\n**/{a,b}[0-9]?\n\0src/build/a7x/keep.log";
    vec![text.as_bytes().to_vec()]
}
