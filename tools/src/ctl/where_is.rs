//! `fdht where`: which group and server an address belongs to.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use serde_json::Value;

use super::CtlError;
use super::admin::{AdminArgs, get, percent_encode, text};
use crate::cli::Output;
use crate::console;

/// `fdht where`.
#[derive(Debug, Args)]
pub(crate) struct WhereArgs {
    /// Namespace; `-` or an empty argument is the empty namespace.
    namespace: OsString,
    /// Object: a Redis key, or the object of a FastDHT key.
    object: OsString,
    /// Field, if one is asked for. It does not change the place: all of an object is on one server.
    field: Option<OsString>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Asks the proxy and shows the place.
pub(crate) fn where_is(args: &WhereArgs) -> Result<(), CtlError> {
    let place = get(&args.admin.admin, &path(args))?;
    if args.admin.output == Output::Json {
        console::line(place.to_string());
        return Ok(());
    }
    let rows = [
        ("namespace", part(&place, "namespace")),
        ("object", part(&place, "object")),
        ("field", part(&place, "field")),
        ("hash", text(&place, "hash")),
        ("logic group", text(&place, "logic_group")),
        ("physical group", text(&place, "physical_group")),
        ("lane", text(&place, "lane")),
        ("server", text(&place, "server")),
        ("address", text(&place, "address")),
    ];
    let rows = rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec();
    console::line(console::table(&["what", "where"], rows));
    Ok(())
}

fn path(args: &WhereArgs) -> String {
    let namespace = match args.namespace.as_bytes() {
        b"-" => b"",
        other => other,
    };
    let object = percent_encode(args.object.as_bytes());
    let mut path = format!("/v1/where?ns={}&obj={object}", percent_encode(namespace));
    if let Some(field) = &args.field {
        path.push_str("&field=");
        path.push_str(&percent_encode(field.as_bytes()));
    }
    path
}

/// A part of the address; one that is not UTF-8 comes as hex under another name.
fn part(place: &Value, name: &str) -> String {
    match place.get(format!("{name}_hex")).and_then(Value::as_str) {
        Some(hex) => format!("0x{hex}"),
        None => text(place, name),
    }
}
