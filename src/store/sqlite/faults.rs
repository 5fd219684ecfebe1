//! SQLite's errors as store faults. Error texts are dropped on purpose: they may quote SQL.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::store::contract::StoreFault;

impl From<rusqlite::Error> for StoreFault {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, _) => from_code(failure),
            // A column that does not hold what the schema says.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::QueryReturnedNoRows => StoreFault::Corrupt,
            _ => StoreFault::Misuse,
        }
    }
}

fn from_code(failure: ffi::Error) -> StoreFault {
    match failure.extended_code {
        // After a failed sync the kernel may have thrown the dirty pages away and report success
        // the next time (https://lwn.net/Articles/752063/). Never sync over it: stop.
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => return StoreFault::OutcomeUnknown,
        // The shared-memory file is extended by writing to it; on a full disk that fails first.
        ffi::SQLITE_IOERR_SHMSIZE => return StoreFault::Full,
        ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA => {
            return StoreFault::Corrupt;
        }
        _ => {}
    }
    match failure.code {
        ErrorCode::DiskFull => StoreFault::Full,
        ErrorCode::DatabaseCorrupt => StoreFault::Corrupt,
        ErrorCode::NotADatabase => StoreFault::NotAStore,
        ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch
        | ErrorCode::ApiMisuse
        | ErrorCode::ParameterOutOfRange
        | ErrorCode::TooBig => StoreFault::Misuse,
        _ => StoreFault::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: i32) -> StoreFault {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some("INSERT ... secret".into()))
            .into()
    }

    #[test]
    fn a_failed_sync_is_never_retried_and_a_full_disk_is_named() {
        assert_eq!(fault(ffi::SQLITE_IOERR_FSYNC), StoreFault::OutcomeUnknown);
        assert!(fault(ffi::SQLITE_IOERR_FSYNC).is_final());
        assert_eq!(fault(ffi::SQLITE_FULL), StoreFault::Full);
        assert_eq!(fault(ffi::SQLITE_IOERR_SHMSIZE), StoreFault::Full);
        assert_eq!(fault(ffi::SQLITE_IOERR_WRITE), StoreFault::Unavailable);
        assert_eq!(fault(ffi::SQLITE_BUSY), StoreFault::Unavailable);
        assert_eq!(fault(ffi::SQLITE_CORRUPT), StoreFault::Corrupt);
        assert_eq!(fault(ffi::SQLITE_NOTADB), StoreFault::NotAStore);
        assert_eq!(fault(ffi::SQLITE_CONSTRAINT_UNIQUE), StoreFault::Misuse);
    }
}
