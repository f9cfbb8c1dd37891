//! The one table of commands: dispatch, arity checks and COMMAND all read it. Sorted by name.

use super::command::{Command, Flags, Group, Keys, flag};
use super::{
    client, connection, count, expire, field_expire, fields, hashes, hsetex, introspect, keys,
    many, scan, server, set, strings,
};

macro_rules! commands {
    ($($name:literal $arity:literal [$($flag:ident)*] $keys:ident $group:ident $since:literal
       $run:path: $summary:literal $(with $sub:ident)?;)*) => {
        &[$(Command {
            name: $name,
            arity: $arity,
            flags: Flags(0 $(| flag::$flag)*),
            keys: Keys::$keys,
            group: Group::$group,
            since: $since,
            summary: $summary,
            subcommands: commands!(@sub $($sub)?),
            run: $run,
        }),*]
    };
    (@sub) => { &[] };
    (@sub $sub:ident) => { $sub };
}

/// Every command.
pub(super) static COMMANDS: &[Command] = commands! {
    "APPEND" 3 [WRITE DENYOOM FAST] ONE String "2.0.0" strings::append:
        "Appends a string to the value of a key. Creates the key if it doesn't exist.";
    "AUTH" -2 [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] NONE Connection "1.0.0" connection::auth:
        "Authenticates the connection.";
    "CLIENT" -2 [] NONE Connection "2.4.0" client::help:
        "A container for client connection commands." with CLIENT;
    "COMMAND" -1 [LOADING STALE] NONE Server "2.8.13" introspect::all:
        "Returns detailed information about all commands." with COMMAND;
    "CONFIG" -2 [] NONE Server "2.0.0" server::config_help:
        "A container for server configuration commands." with CONFIG;
    "DBSIZE" 1 [READONLY FAST] NONE Server "1.0.0" count::dbsize:
        "Returns the number of keys in the database.";
    "DECR" 2 [WRITE DENYOOM FAST] ONE String "1.0.0" strings::decr:
        "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.";
    "DECRBY" 3 [WRITE DENYOOM FAST] ONE String "1.0.0" strings::decrby:
        "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.";
    "DEL" -2 [WRITE] ALL Generic "1.0.0" keys::del:
        "Deletes one or more keys.";
    "ECHO" 2 [LOADING STALE FAST] NONE Connection "1.0.0" connection::echo:
        "Returns the given string.";
    "EXISTS" -2 [READONLY FAST] ALL Generic "1.0.0" keys::exists:
        "Determines whether one or more keys exist.";
    "EXPIRE" -3 [WRITE FAST] ONE Generic "1.0.0" expire::expire:
        "Sets the expiration time of a key in seconds.";
    "EXPIREAT" -3 [WRITE FAST] ONE Generic "1.2.0" expire::expireat:
        "Sets the expiration time of a key to a Unix timestamp.";
    "EXPIRETIME" 2 [READONLY FAST] ONE Generic "7.0.0" expire::expiretime:
        "Returns the expiration time of a key as a Unix timestamp.";
    "GET" 2 [READONLY FAST] ONE String "1.0.0" strings::get:
        "Returns the string value of a key.";
    "GETDEL" 2 [WRITE FAST] ONE String "6.2.0" strings::getdel:
        "Returns the string value of a key after deleting the key.";
    "GETEX" -2 [WRITE FAST] ONE String "6.2.0" set::getex:
        "Returns the string value of a key after setting its expiration time.";
    "GETSET" 3 [WRITE DENYOOM FAST] ONE String "1.0.0" set::getset:
        "Returns the previous string value of a key after setting it to a new value.";
    "HDEL" -3 [WRITE FAST] ONE Hash "2.0.0" hashes::hdel:
        "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.";
    "HELLO" -1 [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] NONE Connection "6.0.0" connection::hello:
        "Handshakes with the server.";
    "HEXISTS" 3 [READONLY FAST] ONE Hash "2.0.0" hashes::hexists:
        "Determines whether a field exists in a hash.";
    "HEXPIRE" -6 [WRITE DENYOOM FAST] ONE Hash "7.4.0" field_expire::hexpire:
        "Sets the expiration times of fields of a hash in seconds.";
    "HEXPIREAT" -6 [WRITE DENYOOM FAST] ONE Hash "7.4.0" field_expire::hexpireat:
        "Sets the expiration times of fields of a hash to a Unix timestamp.";
    "HEXPIRETIME" -5 [READONLY FAST] ONE Hash "7.4.0" field_expire::hexpiretime:
        "Returns the expiration times of fields of a hash as Unix timestamps.";
    "HGET" 3 [READONLY FAST] ONE Hash "2.0.0" hashes::hget:
        "Returns the value of a field in a hash.";
    "HGETALL" 2 [READONLY] ONE Hash "2.0.0" fields::hgetall:
        "Returns all fields and values in a hash.";
    "HINCRBY" 4 [WRITE DENYOOM FAST] ONE Hash "2.0.0" hashes::hincrby:
        "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.";
    "HKEYS" 2 [READONLY] ONE Hash "2.0.0" fields::hkeys:
        "Returns all fields in a hash.";
    "HLEN" 2 [READONLY FAST] ONE Hash "2.0.0" hashes::hlen:
        "Returns the number of fields in a hash.";
    "HMGET" -3 [READONLY FAST] ONE Hash "2.0.0" many::hmget:
        "Returns the values of all fields in a hash.";
    "HMSET" -4 [WRITE DENYOOM FAST] ONE Hash "2.0.0" hashes::hmset:
        "Sets the values of multiple fields.";
    "HPERSIST" -5 [WRITE FAST] ONE Hash "7.4.0" field_expire::hpersist:
        "Removes the expiration times of fields of a hash.";
    "HPEXPIRE" -6 [WRITE DENYOOM FAST] ONE Hash "7.4.0" field_expire::hpexpire:
        "Sets the expiration times of fields of a hash in milliseconds.";
    "HPEXPIREAT" -6 [WRITE DENYOOM FAST] ONE Hash "7.4.0" field_expire::hpexpireat:
        "Sets the expiration times of fields of a hash to a Unix milliseconds timestamp.";
    "HPEXPIRETIME" -5 [READONLY FAST] ONE Hash "7.4.0" field_expire::hpexpiretime:
        "Returns the expiration times of fields of a hash as Unix milliseconds timestamps.";
    "HPTTL" -5 [READONLY FAST] ONE Hash "7.4.0" field_expire::hpttl:
        "Returns the expiration times of fields of a hash in milliseconds.";
    "HSET" -4 [WRITE DENYOOM FAST] ONE Hash "2.0.0" hashes::hset:
        "Creates or modifies the value of a field in a hash.";
    "HSETEX" -6 [WRITE DENYOOM FAST] ONE Hash "8.0.0" hsetex::hsetex:
        "Sets fields of a hash and their expiration time.";
    "HTTL" -5 [READONLY FAST] ONE Hash "7.4.0" field_expire::httl:
        "Returns the expiration times of fields of a hash in seconds.";
    "HVALS" 2 [READONLY] ONE Hash "2.0.0" fields::hvals:
        "Returns all values in a hash.";
    "INCR" 2 [WRITE DENYOOM FAST] ONE String "1.0.0" strings::incr:
        "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.";
    "INCRBY" 3 [WRITE DENYOOM FAST] ONE String "1.0.0" strings::incrby:
        "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.";
    "INFO" -1 [LOADING STALE] NONE Server "1.0.0" server::info:
        "Returns information and statistics about the server.";
    "MGET" -2 [READONLY FAST] ALL String "1.0.0" many::mget:
        "Returns the string values of one or more keys.";
    "MSET" -3 [WRITE DENYOOM] PAIRS String "1.0.1" keys::mset:
        "Sets the string values of one or more keys; atomic for keys of the same lane only.";
    "PERSIST" 2 [WRITE FAST] ONE Generic "2.2.0" expire::persist:
        "Removes the expiration time of a key.";
    "PEXPIRE" -3 [WRITE FAST] ONE Generic "2.6.0" expire::pexpire:
        "Sets the expiration time of a key in milliseconds.";
    "PEXPIREAT" -3 [WRITE FAST] ONE Generic "2.6.0" expire::pexpireat:
        "Sets the expiration time of a key to a Unix milliseconds timestamp.";
    "PEXPIRETIME" 2 [READONLY FAST] ONE Generic "7.0.0" expire::pexpiretime:
        "Returns the expiration time of a key as a Unix milliseconds timestamp.";
    "PING" -1 [FAST] NONE Connection "1.0.0" connection::ping:
        "Returns the server's liveliness response.";
    "PSETEX" 4 [WRITE DENYOOM] ONE String "2.6.0" set::psetex:
        "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.";
    "PTTL" 2 [READONLY FAST] ONE Generic "2.6.0" expire::pttl:
        "Returns the expiration time in milliseconds of a key.";
    "QUIT" -1 [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] NONE Connection "1.0.0" connection::quit:
        "Closes the connection.";
    "RESET" 1 [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] NONE Connection "6.2.0" connection::reset:
        "Resets the connection.";
    "SCAN" -2 [READONLY] NONE Generic "2.8.0" scan::scan:
        "Iterates over the key names in the database.";
    "SELECT" 2 [LOADING STALE FAST] NONE Connection "1.0.0" connection::select:
        "Changes the selected database, by number or by its namespace's name.";
    "SET" -3 [WRITE DENYOOM] ONE String "1.0.0" set::set:
        "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.";
    "SETEX" 4 [WRITE DENYOOM] ONE String "2.0.0" set::setex:
        "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.";
    "SETNX" 3 [WRITE DENYOOM FAST] ONE String "1.0.0" set::setnx:
        "Set the string value of a key only when the key doesn't exist.";
    "STRLEN" 2 [READONLY FAST] ONE String "2.2.0" strings::strlen:
        "Returns the length of a string value.";
    "TIME" 1 [LOADING STALE FAST] NONE Server "2.6.0" server::time:
        "Returns the server time.";
    "TTL" 2 [READONLY FAST] ONE Generic "1.0.0" expire::ttl:
        "Returns the expiration time in seconds of a key.";
    "TYPE" 2 [READONLY FAST] ONE Generic "1.0.0" keys::kind:
        "Determines the type of value stored at a key.";
    "UNLINK" -2 [WRITE FAST] ALL Generic "4.0.0" keys::del:
        "Deletes one or more keys; large ones are reclaimed in the background.";
};

static CLIENT: &[Command] = commands! {
    "GETNAME" 2 [NOSCRIPT LOADING STALE] NONE Connection "2.6.9" client::getname:
        "Returns the name of the connection.";
    "HELP" 2 [LOADING STALE] NONE Connection "5.0.0" client::help:
        "Returns helpful text about the different subcommands.";
    "ID" 2 [NOSCRIPT LOADING STALE] NONE Connection "5.0.0" client::id:
        "Returns the unique client ID of the connection.";
    "INFO" 2 [NOSCRIPT LOADING STALE] NONE Connection "6.2.0" client::info:
        "Returns information about the connection.";
    "LIST" -2 [ADMIN NOSCRIPT LOADING STALE] NONE Connection "2.4.0" client::list:
        "Lists open connections.";
    "SETINFO" 4 [NOSCRIPT LOADING STALE] NONE Connection "7.2.0" client::setinfo:
        "Sets information specific to the client or connection.";
    "SETNAME" 3 [NOSCRIPT LOADING STALE] NONE Connection "2.6.9" client::setname:
        "Sets the connection name.";
};

static COMMAND: &[Command] = commands! {
    "COUNT" 2 [LOADING STALE] NONE Server "2.8.13" introspect::count:
        "Returns a count of commands.";
    "DOCS" -2 [LOADING STALE] NONE Server "7.0.0" introspect::docs:
        "Returns documentary information about one, multiple or all commands.";
    "GETKEYS" -3 [LOADING STALE] NONE Server "2.8.13" introspect::getkeys:
        "Extracts the key names from an arbitrary command.";
    "HELP" 2 [LOADING STALE] NONE Server "5.0.0" introspect::help:
        "Returns helpful text about the different subcommands.";
    "INFO" -2 [LOADING STALE] NONE Server "2.8.13" introspect::info:
        "Returns information about one, multiple or all commands.";
    "LIST" -2 [LOADING STALE] NONE Server "7.0.0" introspect::list:
        "Returns a list of command names.";
};

static CONFIG: &[Command] = commands! {
    "GET" -3 [ADMIN NOSCRIPT LOADING STALE] NONE Server "2.0.0" server::config_get:
        "Returns the effective values of configuration parameters.";
    "HELP" 2 [LOADING STALE] NONE Server "5.0.0" server::config_help:
        "Returns helpful text about the different subcommands.";
};
