//! Content that no entry speaks of: the process was killed when the content was durable and its entry
//! not yet, or when an entry was replaced and the content of the old one not yet forgotten. Nobody
//! can be given such blocks, so they are not promised.

use std::path::PathBuf;

use super::{Import, Phase};
use crate::job::{Budget, Cx, Output};
use crate::store::StoreError;

impl Import {
    /// Forgets the blocks between those of the files. All entries are known and all of a batch is
    /// written when this is done, and no file is being hashed.
    pub(super) fn tidy(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) -> Result<(), StoreError> {
        let Phase::Tidy(gaps) = &mut self.phase else { return Ok(()) };
        let now = cx.now;
        let (disk, content) = cx.content()?;
        let length = content.feed().length();
        while let Some((start, end)) = self.files.next_gap(gaps) {
            let len = end.min(length).saturating_sub(start);
            if len > 0 && content.feed().have().count_range(start, len) > 0 {
                content.clear(disk, start, len)?;
                self.outputs.push_back(Output::Cleared { start, len });
            }
            budget.calls(1);
            if budget.is_spent() {
                return Ok(());
            }
        }
        if content.dirty() > 0 {
            content.commit(disk, now)?;
        }
        self.phase = Phase::Scan;
        self.enter(PathBuf::new());
        Ok(())
    }
}
