//! [`Db`]: the face. Each call is one line to the engine.

use std::fmt;
use std::path::Path;

use crate::batch::WriteBatch;
use crate::cursor::{Cursor, Iter};
use crate::engine::{Engine, bounds_of, bounds_of_prefix};
use crate::error::Result;
use crate::handle::Handle;
use crate::key::{KeyspaceId, Kind};
use crate::keyspace::Keyspace;
use crate::options::{Options, WriteOptions};
use crate::range::KeyRange;
use crate::reader::by_own_methods;
use crate::snapshot::Snapshot;
use crate::stats::{Health, Progress, Report, Stats};
use crate::sync::Arc;
use crate::value::Value;
use crate::vfs::{OsVfs, Vfs};

const DEFAULT: KeyspaceId = KeyspaceId::DEFAULT;

/// An open database: an ordered map from bytes to bytes that outlives the process.
///
/// Cheap to clone; all clones are one database, to be used from any thread. The
/// last clone (and [`Keyspace`] handle) that is dropped closes it; call
/// [`close`](Db::close) to see whether that went well.
///
/// Every call fails with `Closed` after `close`, and every write with `ReadOnly` on
/// a handle from [`Options::open_read_only`] and with `Poisoned` after a failed
/// sync; the calls name what else they can end in.
///
/// # Processes that fork
///
/// A `Db`, and everything read from it, belongs to the process that opened it. In a child
/// of a `fork` it must not be used, closed or dropped: the threads that do its work are not
/// there to end, and the child has the same log open for writing. Such a child ends by
/// `exec` or [`std::process::exit`], which do not drop its variables; what it wants of the
/// database it opens itself, once the parent has closed it, or
/// [read-only](Options::open_read_only). [`std::process::Command`] does it right.
///
/// # Example
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("db");
/// use olive_core::Db;
///
/// let db = Db::open(&path)?;
/// db.put("apple", "red")?;
/// db.put("pear", "green")?;
/// assert_eq!(db.get("apple")?.unwrap(), b"red");
/// for entry in db.iter()? {
///     let (key, value) = entry?;
///     println!("{key} is {value}");
/// }
/// db.delete("apple")?;
/// assert!(db.get("apple")?.is_none());
/// db.close()?;
/// # Ok::<(), olive_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Db(pub(crate) Arc<Handle>);

impl Db {
    /// Opens the database in the folder `path` with the default options; creates it
    /// where there is nothing. A relative path is made absolute first, so that the
    /// database stays where it is when the process changes its working folder.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: the path is empty, a file, a symbolic link to nothing, or a
    /// folder with other things in it, or with a stray file whose number leaves none for
    /// new files. `Locked`: it is open already. `Corruption`: its files are not what was
    /// written. `Unsupported`: a newer version wrote them, or their numbers are used up.
    /// `ReadOnly`: the folder, or its LOCK, cannot be written. `Io`: also where one of its
    /// names is that of a folder, a pipe or a device. `DiskFull`.
    pub fn open(path: impl AsRef<Path>) -> Result<Db> {
        Options::default().open(path)
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.0.engine
    }

    /// Puts `value` under `key`.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: the key is over 65,535 bytes or the value over 1 GiB.
    /// `DiskFull`: there is no room for the log, or for a flush that the write must
    /// wait for. `Io`. After an error nothing was written, but for `Poisoned` from a
    /// sync that this write waited for: then the outcome is unknown.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_with(key, value, &WriteOptions::default())
    }

    /// [`put`](Self::put) with a durability or a deadline of its own.
    ///
    /// # Errors
    ///
    /// As `put`; and `Stalled`: the deadline passed, nothing was written.
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: &WriteOptions,
    ) -> Result<()> {
        self.engine().write_one(DEFAULT, Kind::Put, key.as_ref(), value.as_ref(), options)
    }

    /// Deletes `key`; it need not be there.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.delete_with(key, &WriteOptions::default())
    }

    /// [`delete`](Self::delete) with a durability or a deadline of its own.
    ///
    /// # Errors
    ///
    /// As [`put_with`](Self::put_with).
    pub fn delete_with(&self, key: impl AsRef<[u8]>, options: &WriteOptions) -> Result<()> {
        self.engine().write_one(DEFAULT, Kind::Delete, key.as_ref(), &[], options)
    }

    /// Writes a batch: all of it, or nothing.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); and `InvalidArgument` where the batch is over 1 GiB +
    /// 1 MiB, or names a keyspace of another database or one that was dropped.
    pub fn write(&self, batch: &WriteBatch) -> Result<()> {
        self.write_with(batch, &WriteOptions::default())
    }

    /// [`write`](Self::write) with a durability or a deadline of its own.
    ///
    /// # Errors
    ///
    /// As `write`; and `Stalled`: the deadline passed, nothing was written.
    pub fn write_with(&self, batch: &WriteBatch, options: &WriteOptions) -> Result<()> {
        self.engine().write_batch(batch, options)
    }

    /// The value of `key`, in place.
    ///
    /// # Errors
    ///
    /// `Corruption`: a block is not what was written. `InvalidArgument`: the key is
    /// over 65,535 bytes. `Io`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.engine().get(DEFAULT, None, key.as_ref(), |hit| hit.into_value())
    }

    /// Lets `read` see the value of `key`, for who needs no handle.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// db.put("k", "four")?;
    /// assert_eq!(db.get_with("k", |value| value.len())?, Some(4));
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_with<T>(
        &self,
        key: impl AsRef<[u8]>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        self.engine().get(DEFAULT, None, key.as_ref(), |hit| read(hit.bytes()))
    }

    /// The values of many keys, all as of one moment, in the order of the keys.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// db.put("a", "1")?;
    /// let values = db.multi_get(["a", "b"])?;
    /// assert_eq!(values[0].as_deref(), Some(&b"1"[..]));
    /// assert!(values[1].is_none());
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn multi_get<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>> {
        self.engine().multi_get(DEFAULT, None, keys)
    }

    /// Lets `read` see the values of many keys, all as of one moment, for who needs no
    /// handles: it is called for each key in order, with its place and its value if it
    /// has one. The keys are looked up side by side, which takes less time than one after
    /// the other.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// db.put("a", "1")?;
    /// db.put("b", "four")?;
    /// let mut bytes = 0;
    /// db.multi_get_with(&["a", "b", "c"], |_, value| bytes += value.map_or(0, <[u8]>::len))?;
    /// assert_eq!(bytes, 5);
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); `read` was called for the keys before the one that failed.
    pub fn multi_get_with<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut read: impl FnMut(usize, Option<&[u8]>),
    ) -> Result<()> {
        self.engine().multi_get_with(DEFAULT, None, keys, |i, hit| {
            read(i, hit.as_ref().map(|hit| hit.bytes()));
        })
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get_with(key, |_| ())?.is_some())
    }

    /// All entries in key order, from both ends.
    ///
    /// # Errors
    ///
    /// `Closed`; what reading can end in comes from the iterator.
    pub fn iter(&self) -> Result<Iter> {
        self.range(..)
    }

    /// The entries of a range of keys.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// for key in ["a", "b", "c"] {
    ///     db.put(key, "")?;
    /// }
    /// assert_eq!(db.range("b"..)?.count(), 2);
    /// assert_eq!(db.range("a"..="b")?.count(), 2);
    /// assert_eq!(db.range("c".."a")?.count(), 0);
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`iter`](Self::iter).
    pub fn range(&self, range: impl KeyRange) -> Result<Iter> {
        let scan = self.engine().scan(None, bounds_of(DEFAULT, range.start(), range.end()))?;
        Ok(Iter::new(self.0.engine_handle(), DEFAULT, scan))
    }

    /// The entries whose keys begin with `prefix`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// db.put("user:1", "")?;
    /// db.put("video:1", "")?;
    /// assert_eq!(db.prefix("user:")?.count(), 1);
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`iter`](Self::iter).
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Result<Iter> {
        let scan = self.engine().scan(None, bounds_of_prefix(DEFAULT, prefix.as_ref()))?;
        Ok(Iter::new(self.0.engine_handle(), DEFAULT, scan))
    }

    /// A cursor over all entries; it stands on none yet.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn cursor(&self) -> Result<Cursor> {
        let all = bounds_of(DEFAULT, (..).start(), (..).end());
        let scan = self.engine().scan(None, all)?;
        Ok(Cursor::new(self.0.engine_handle(), DEFAULT, scan))
    }

    /// The database as it is now, to be read again and again.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::new(self.0.engine_handle(), None)
    }

    /// The keyspace `name`, created if it is missing: an ordered map of its own
    /// within the database.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// let users = db.keyspace("users")?;
    /// users.put("1", "Ada")?;
    /// assert!(db.get("1")?.is_none());
    /// assert_eq!(db.keyspaces()?, ["users"]);
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: the name is empty or over 65,534 bytes; and as
    /// [`put`](Self::put) where it is created.
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        Ok(Keyspace::new(Arc::clone(&self.0), self.engine().keyspace(name)?))
    }

    /// The names of all keyspaces, in order. The default one, which `Db`'s own calls
    /// work on, has no name.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn keyspaces(&self) -> Result<Vec<String>> {
        self.engine().keyspaces()
    }

    /// Drops the keyspace `name` with all its entries; says whether there was one.
    ///
    /// Its handles fail from then on, with `InvalidArgument`; snapshots taken before
    /// still read it. A keyspace made with the same name later begins empty. Once no such
    /// snapshot is left, its space comes back in the background: tables of nothing but
    /// dropped keyspaces at once, those of which they are an eighth when nothing is more
    /// urgent, the rest with the compactions that come by.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn drop_keyspace(&self, name: &str) -> Result<bool> {
        self.engine().drop_keyspace(name)
    }

    /// Writes all memtables to tables. It does not make anything more durable: see
    /// [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// `DiskFull`, `Io`: nothing is lost, the log has it all.
    pub fn flush(&self) -> Result<()> {
        self.engine().flush()
    }

    /// Returns when every write that was acknowledged before the call survives a
    /// power cut.
    ///
    /// # Errors
    ///
    /// `Poisoned`: the sync failed.
    pub fn sync(&self) -> Result<()> {
        self.engine().sync()
    }

    /// Flushes, and compacts the entries of a range of the default keyspace down to one
    /// level, so that deleted and overwritten ones give their space back now: without being
    /// asked, compactions in the background come to them too, but for old versions that a
    /// snapshot kept in the last level, which wait for writes near them. For another keyspace, see
    /// [`Keyspace::compact_range`].
    ///
    /// # Errors
    ///
    /// `DiskFull`, `Io`, `Corruption` of a table that was read: the tree is as it was.
    pub fn compact_range(&self, range: impl KeyRange) -> Result<()> {
        self.engine().compact_range(&bounds_of(DEFAULT, range.start(), range.end()))
    }

    /// Does one step of maintenance, if one is due. With
    /// [`Maintenance::Manual`](crate::Maintenance) this is how the work gets done.
    ///
    /// ```
    /// use olive_core::{Maintenance, Options, Progress};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = Options::default()
    ///     .maintenance(Maintenance::Manual)
    ///     .open(dir.path().join("db"))?;
    /// db.put("k", "v")?;
    /// while db.maintain()? != Progress::Idle {}
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the step ended in: `DiskFull`, `Io`, `Corruption`.
    pub fn maintain(&self) -> Result<Progress> {
        self.engine().maintain()
    }

    /// Makes a database folder at `path`, which must not exist, that holds all that
    /// was written before the call, and maybe some of what is written during it, up to one
    /// write, and opens by itself. Tables are linked, so it
    /// takes no room of its own at first; on another file system they are copied.
    /// Writers go on. A relative path is taken from the working folder as it is now.
    ///
    /// It is made in the folder `PATH.checkpoint-tmp` beside it and gets its name when it
    /// is whole. What a crash left of a checkpoint in that folder is cleared, and nothing
    /// else: a file `CHECKPOINT.tmp`, which goes when the folder gets its name or is opened
    /// as a database, marks it, and it holds only such files as a checkpoint makes.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// db.put("k", "v")?;
    /// db.checkpoint(dir.path().join("backup"))?;
    /// let backup = olive_core::Db::open(dir.path().join("backup"))?;
    /// assert_eq!(backup.get("k")?.unwrap(), b"v");
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: `path` exists; or `PATH.checkpoint-tmp` does, and is a link, a
    /// file, a database, or a folder with other things in it: nothing is changed, and it is
    /// for the caller to remove. `Conflict`: another checkpoint to `path` is under way.
    /// `DiskFull`, `Io`: nothing is left of it, but for an `Io` that says that the folder
    /// above could not be synced: then it is there, and may be gone after a power cut. A table
    /// of a read-only handle that its writer has compacted away is an `Io`, too: open another
    /// one. `Poisoned`: a sync failed, and nothing is left of it; if it was one of the
    /// checkpoint's own files, which the text names, this database goes on.
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.engine().checkpoint(path.as_ref())
    }

    /// About how many bytes of tables the entries of a range of the default keyspace take,
    /// old versions and tombstones with them. What is only in memtables is not counted. Of
    /// the two blocks in which the range begins and ends in a table, entries count as if all
    /// of a block were of one size.
    ///
    /// # Errors
    ///
    /// `Corruption`, `Io`: of a table whose index, or one of those blocks, was read.
    pub fn approximate_size(&self, range: impl KeyRange) -> Result<u64> {
        self.engine().approximate_size(&bounds_of(DEFAULT, range.start(), range.end()))
    }

    /// Sizes now, and counts since open.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn stats(&self) -> Result<Stats> {
        self.engine().stats()
    }

    /// Whether the database can do its work, and if not, why.
    ///
    /// # Errors
    ///
    /// `Closed`.
    pub fn health(&self) -> Result<Health> {
        self.engine().health()
    }

    /// Reads every table and the manifest and checks them against their checksums,
    /// order and counts. What is damaged is in the report. A read-only handle passes over
    /// tables that the writer has compacted away and deleted since it was opened.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = olive_core::Db::open(dir.path().join("db"))?;
    /// db.put("k", "v")?;
    /// db.flush()?;
    /// let report = db.verify()?;
    /// assert!(report.is_clean());
    /// assert_eq!(report.entries, 1);
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `Io`: something could not be read, so nothing is said about it.
    pub fn verify(&self) -> Result<Report> {
        self.engine().verify()
    }

    /// Closes the database for all clones: waits for running work, flushes, and gives
    /// the lock back. Values that were read stay readable; a second call does nothing.
    ///
    /// # Errors
    ///
    /// `DiskFull`, `Io`: the flush failed; the log has been synced and will be
    /// replayed. `Poisoned`: a sync has failed. It is closed all the same.
    pub fn close(&self) -> Result<()> {
        self.engine().close()
    }
}

impl Options {
    /// Opens the database in the folder `path`, or creates it where the options allow
    /// that. A relative path is taken from the working folder as it is now.
    ///
    /// # Errors
    ///
    /// As [`Db::open`]; and `InvalidArgument`: an option is out of its range, or there
    /// is no database and `create_if_missing` is false.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Db> {
        open_on(self, Arc::new(OsVfs::default()), path)
    }

    /// Opens the database in the folder `path` without writing anything, beside other
    /// readers and a writer; it shows what was there when it was opened. The log is
    /// replayed into memory. A relative path is taken from the working folder as it is
    /// now.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("db");
    /// use olive_core::{Db, ErrorKind, Options};
    ///
    /// Db::open(&path)?.put("k", "v")?;
    /// let reader = Options::default().open_read_only(&path)?;
    /// assert_eq!(reader.get("k")?.unwrap(), b"v");
    /// assert_eq!(reader.put("k", "w").unwrap_err().kind(), ErrorKind::ReadOnly);
    /// # Ok::<(), olive_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidArgument`: there is no database. `Corruption`: also of tables, each of
    /// which is opened. `Unsupported`, `Io`.
    pub fn open_read_only(self, path: impl AsRef<Path>) -> Result<Db> {
        open_read_only_on(self, Arc::new(OsVfs::default()), path)
    }
}

/// Opens a database on another file system than the real one: a simulated one.
///
/// # Errors
///
/// As [`Options::open`].
pub fn open_on(options: Options, vfs: Arc<dyn Vfs>, path: impl AsRef<Path>) -> Result<Db> {
    let engine = Engine::open(options, vfs, path.as_ref())?;
    Ok(Db(Arc::new(Handle::new(engine))))
}

/// Opens a database for reading on another file system than the real one.
///
/// # Errors
///
/// As [`Options::open_read_only`].
pub fn open_read_only_on(
    options: Options,
    vfs: Arc<dyn Vfs>,
    path: impl AsRef<Path>,
) -> Result<Db> {
    let engine = Engine::open_read_only(options, vfs, path.as_ref())?;
    Ok(Db(Arc::new(Handle::new(engine))))
}

by_own_methods!(Db);

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Db").field(self.engine()).finish()
    }
}
