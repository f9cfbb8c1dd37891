//! `fdht export`: to where, and what becomes of the file.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::reader::{CopyError, Reader};
use crate::console;
use crate::ctl::CtlError;

/// `fdht export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// File to write; standard output without it. It appears under its name when it is complete.
    file: Option<PathBuf>,
    /// Namespace to export; empty for database 0.
    #[arg(short, long, default_value = "", value_name = "NAME")]
    namespace: String,
    /// Data address of a proxy.
    #[arg(long, env = "FDHT_PROXY", default_value = "127.0.0.1:12200", value_name = "HOST:PORT")]
    proxy: String,
    /// How long to try again while servers cannot be reached.
    #[arg(long, default_value = "60s", value_parser = config::parse_time)]
    retry_for: Duration,
}

/// Writes every record of the namespace.
pub(crate) fn export(args: &ExportArgs) -> Result<(), CtlError> {
    let mut reader = Reader::connect(&args.proxy, args.namespace.as_bytes(), args.retry_for)?;
    let Some(path) = &args.file else {
        let mut to = BufWriter::new(io::stdout().lock());
        return match reader.copy(&mut to) {
            // `fdht export | head` has seen enough.
            Err(CopyError::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(CopyError::Write(e)) => Err(CtlError::Stdout(e)),
            Err(CopyError::Read(e)) => Err(e),
            Ok(_) => Ok(()),
        };
    };
    let new = with_suffix(path, ".new");
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CtlError::File { what, path, source }
    };
    let mut to = BufWriter::new(File::create(&new).map_err(failed("create", &new))?);
    let count = reader.copy(&mut to).map_err(|e| match e {
        CopyError::Write(e) => failed("write", &new)(e),
        CopyError::Read(e) => e,
    })?;
    to.get_ref().sync_all().map_err(failed("write", &new))?;
    std::fs::rename(&new, path).map_err(failed("rename to", path))?;
    console::warn(format!("exported {count} records to {}", path.display()));
    Ok(())
}

/// `path` with something after its last character.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
