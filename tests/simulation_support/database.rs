//! The files of a store, and what a crash leaves of them.
//!
//! A crash here is the death of a process, not of the machine: what was written is there for whoever
//! opens the files next, synced or not. So the files lie in memory, where syncing costs nothing. What
//! a cut of the power leaves is the business of `tests/store_crash.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ecaf::store::RetentionStore;
use ecaf::store::sealing::Vault;

/// A store as it is open: its two contracts and what it seals with.
pub struct Opened<S: ?Sized> {
    pub store: Arc<S>,
    pub retention: Arc<dyn RetentionStore>,
    pub vault: Arc<Vault>,
}

impl<S: ?Sized> Clone for Opened<S> {
    fn clone(&self) -> Self {
        let Self { store, retention, vault } = self;
        let (store, retention) = (Arc::clone(store), Arc::clone(retention));
        Self { store, retention, vault: Arc::clone(vault) }
    }
}

/// Opens the store in a folder; the number tells the openings apart.
pub type Open<S> = Box<dyn Fn(&Path, u64) -> Opened<S> + Send + Sync>;

/// One store through all its openings.
pub struct Database<S: ?Sized> {
    folder: PathBuf,
    open: Open<S>,
    state: Mutex<(u64, Opened<S>)>,
}

impl<S: ?Sized> Database<S> {
    /// Creates the store in a folder of its own.
    pub fn create(folder: PathBuf, open: Open<S>) -> Arc<Self> {
        let first = place(&folder, 0);
        fs::create_dir_all(&first).unwrap();
        let store = open(&first, 0);
        Arc::new(Self { folder, open, state: Mutex::new((0, store)) })
    }

    /// The store as it is open now. It has noticed every change of its key ring: a process looks once
    /// in a second of the machine's time, which no seed could decide about.
    pub fn opened(&self) -> Opened<S> {
        let opened = self.state.lock().unwrap().1.clone();
        opened.vault.refresh().unwrap();
        opened
    }

    /// The store as it is open now, by its first contract.
    pub fn current(&self) -> Arc<S> {
        self.opened().store
    }

    /// Kills whoever has it open, and opens again what is left: the files as they stand, not closed
    /// properly, the log of writes not yet copied into the database.
    pub fn crash(&self) {
        let mut state = self.state.lock().unwrap();
        let left = copy_files(&self.folder, state.0);
        *state = (state.0 + 1, (self.open)(&left, state.0 + 1));
    }

    /// The folder with the files as they stand.
    pub fn files(&self) -> PathBuf {
        place(&self.folder, self.state.lock().unwrap().0)
    }
}

fn place(folder: &Path, opening: u64) -> PathBuf {
    folder.join(opening.to_string())
}

fn copy_files(folder: &Path, opening: u64) -> PathBuf {
    let (from, to) = (place(folder, opening), place(folder, opening + 1));
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(&from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // Shared memory and locks die with the process.
        if !name.ends_with("-shm") && !name.ends_with(".lock") {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
    to
}
