//! Addresses: `host:port` with a DNS name, an IPv4 address or an IPv6 address in brackets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why a text is no address that others could connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("has no port; write host:port, such as 10.0.0.1:12300")]
    NoPort,
    #[error("has an unusable port; write a number from 1 to 65535")]
    Port,
    #[error("has an unusable host; write a DNS name or an IPv4 address, or IPv6 in [brackets]")]
    Host,
    #[error("is every address of a machine, not one to connect to; write the server's own")]
    Unspecified,
}

/// Checks an address and gives the form in which equal ones are equal texts.
pub(super) fn normalize(text: &str) -> Result<String, AddressError> {
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
    if host.starts_with('[') && !host.ends_with(']') {
        return Err(AddressError::NoPort); // `[::1]`: the colon was one of the address
    }
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse::<u16>().ok().filter(|port| digits && *port != 0);
    let port = port.ok_or(AddressError::Port)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let ip = match bracketed {
        Some(host) => Some(IpAddr::from(host.parse::<Ipv6Addr>().map_err(|_| AddressError::Host)?)),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::from),
    };
    match ip {
        Some(ip) if ip.is_unspecified() => Err(AddressError::Unspecified),
        Some(IpAddr::V6(ip)) => Ok(format!("[{ip}]:{port}")),
        Some(IpAddr::V4(ip)) => Ok(format!("{ip}:{port}")),
        None if is_dns_name(host) => Ok(format!("{}:{port}", host.to_ascii_lowercase())),
        None => Err(AddressError::Host),
    }
}

fn is_dns_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    // A last label of digits only is an IPv4 address with a mistake in it, such as 10.0.0.256.
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_addresses_have_one_form() {
        let table = [
            ("10.0.0.1:12300", "10.0.0.1:12300"),
            ("Node-1.Example.COM:1", "node-1.example.com:1"),
            ("localhost:65535", "localhost:65535"),
            ("fdht_a1:12300", "fdht_a1:12300"),
            ("[::1]:12300", "[::1]:12300"),
            ("[2001:DB8:0::1]:00012", "[2001:db8::1]:12"),
        ];
        for (text, normal) in table {
            assert_eq!(normalize(text).as_deref(), Ok(normal), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        use AddressError::{Host, NoPort, Port, Unspecified};
        let table = [
            ("", NoPort),
            ("a1", NoPort),
            ("[::1]", NoPort),
            ("a1:", Port),
            ("a1:0", Port),
            ("a1:65536", Port),
            ("a1:+1", Port),
            ("a1:http", Port),
            (":12300", Host),
            ("::1:12300", Host),
            ("[::1:12300", NoPort),
            ("[10.0.0.1]:1", Host),
            ("10.0.0.256:1", Host),
            ("10.0.0:1", Host),
            ("http://a1:1", Host),
            ("a b:1", Host),
            ("-a:1", Host),
            ("a..b:1", Host),
            ("0.0.0.0:12300", Unspecified),
            ("[::]:12300", Unspecified),
        ];
        for (text, error) in table {
            assert_eq!(normalize(text), Err(error), "{text}");
        }
        assert_eq!(normalize(&format!("{}:1", "a".repeat(64))), Err(Host));
    }
}
