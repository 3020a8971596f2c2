//! What a text's addresses want of symbol servers: files that are not here, before places in them are looked for, then what
//! the files lack of symbols.

use std::collections::BTreeSet;
use std::sync::Arc;

use necropsy_debuginfod::Use;
use necropsy_model::{BuildId, Fetched, StatedAddress, StatedFile};

use super::{FileId, Resolver};
use crate::MOST_ROUNDS;
use crate::modules;
use crate::names::Depth;

impl Resolver<'_> {
    /// Fetches the files of addresses that are not on this machine, by the build id that the text or the table states.
    pub fn fetch_files<'a>(&mut self, addresses: impl Iterator<Item = &'a StatedAddress>) {
        let Some(supply) = self.supply.clone() else { return };
        let mut stated: BTreeSet<&StatedFile> = BTreeSet::new();
        let mut listed: BTreeSet<BuildId> = BTreeSet::new();
        for address in addresses {
            if let Some((file, _)) = &address.file
                && file.build_id.is_some()
                && !self.known.contains_key(file)
            {
                stated.insert(file);
            }
            listed.extend(address.process.and_then(|process| self.without_file(process)));
        }
        let missing: Vec<&StatedFile> = stated.into_iter().filter(|file| self.file(file).is_err()).collect();
        listed.retain(|id| self.asked.insert(id.clone()));
        let of_text =
            missing.iter().filter_map(|file| file.build_id.clone()).filter(|id| self.asked.insert(id.clone()));
        let ids: Vec<BuildId> = of_text.chain(listed.iter().cloned()).collect();
        let full = supply.mode() == Use::Full && self.depth == Depth::Full;
        if !modules::fetch_files(&supply, ids.into_iter(), full) {
            return;
        }
        for file in missing {
            self.known.remove(file);
        }
        if !listed.is_empty() {
            self.find_table();
        }
    }

    /// Fetches what the files of places lack of symbols, each file once.
    pub fn fetch_symbols(&mut self, files: impl Iterator<Item = FileId>) {
        let Some(supply) = self.supply.clone() else { return };
        let mut files: Vec<FileId> = files.filter(|&file| self.fetched.insert(file)).collect();
        files.sort_unstable();
        // The file that a server sent may say that it needs another one.
        for _ in 0..MOST_ROUNDS {
            let known = files.iter().filter_map(|file| {
                let set = self.sets.get(file.set)?;
                Some((&set.modules.get(file.module.index())?.0, set.images.of(file.module)?))
            });
            if !modules::fetch_symbols(&supply, known, self.depth) {
                break;
            }
            for set in files.iter().map(|file| file.set).collect::<BTreeSet<_>>() {
                if Some(set) == self.table { self.find_table() } else { self.find_again(set) }
            }
        }
    }

    /// What servers were asked for on behalf of a file.
    pub fn fetched(&self, id: FileId) -> Vec<Fetched> {
        let Some((set, client)) = self.sets.get(id.set).zip(self.options.client.as_ref()) else { return Vec::new() };
        let Some((module, outcome)) = set.modules.get(id.module.index()) else { return Vec::new() };
        let mut module = module.clone();
        module.build_id = module.build_id.or_else(|| outcome.build_id.clone());
        modules::fetched(&module, set.images.of(id.module), &client.records())
    }

    /// The same for a file that was not found.
    pub fn fetched_of(&self, file: &StatedFile) -> Vec<Fetched> {
        let Some(client) = &self.options.client else { return Vec::new() };
        let module = necropsy_model::Module {
            build_id: file.build_id.clone(),
            ..necropsy_model::Module::at_path(file.path.clone().unwrap_or_default())
        };
        if module.build_id.is_none() { Vec::new() } else { modules::fetched(&module, None, &client.records()) }
    }

    /// The build id of the module of the table that covers an address and has no file.
    fn without_file(&self, process: necropsy_model::Avma) -> Option<BuildId> {
        let set = self.sets.get(self.table?)?;
        if set.images.at(process).is_some() {
            return None;
        }
        let covering = set.modules.iter().rev().find(|(module, _)| module.covers(process));
        covering?.0.build_id.clone()
    }

    /// Opens a file once more, now that more of it is there.
    fn find_again(&mut self, set: usize) {
        let Some((module, _)) = self.sets.get(set).and_then(|set| set.modules.first()) else { return };
        let options = self.of_user.get(&set).cloned().unwrap_or_else(|| Arc::clone(&self.options));
        let found = Self::find_one(module.clone(), self.arena, &options);
        if let Some(slot) = self.sets.get_mut(set) {
            *slot = found;
        }
    }
}
