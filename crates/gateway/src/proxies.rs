//! Whose address a request comes from: the TCP peer's, or behind proxies that the operator trusts the one they name.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, header};
use ipnet::IpNet;

/// Proxies one after the other that are followed back: no honest chain is longer.
const HOPS_MAX: usize = 16;
/// Bits of an IPv6 address that tell clients apart: a home or a server is given at least a /64 of its own, and can use any address in it.
const V6_PREFIX: u32 = 64;
/// Whatever says that a proxy passed a request on.
const FORWARDING: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

/// The proxies whose word is taken.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// From networks such as `10.0.0.0/8`, and single addresses.
    ///
    /// # Errors
    /// The text that is neither.
    pub fn parse(networks: &[String]) -> Result<Self, String> {
        let one = |text: &String| {
            let whole = text.trim();
            whole.parse().or_else(|_| whole.parse::<IpAddr>().map(IpNet::from)).map_err(|_| text.clone())
        };
        networks.iter().map(one).collect::<Result<_, _>>().map(Self)
    }

    /// The client's address: the right-most one in the forwarding header that no trusted proxy has. What stands left of it is the client's own
    /// invention. A header that cannot be read leaves the peer.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let by_custom = values(headers, "x-forwarded-for").map(|line| self.last(line.rsplit(',').map(address)));
        let by_standard = values(headers, header::FORWARDED.as_str())
            .map(|line| self.last(line.rsplit(',').map(|element| element_for(element).and_then(address))));
        match (by_custom, by_standard) {
            (Some(found), None) | (None, Some(found)) => found.unwrap_or(peer),
            // A proxy that writes one header passes on what a client wrote into the other: only what both say is believed.
            (Some(one), Some(other)) => one.filter(|_| one == other).unwrap_or(peer),
            (None, None) => peer,
        }
    }

    /// Whether an address is one of theirs.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Follows addresses, the nearest first, to the first that is not trusted; `None` where one cannot be read before that.
    fn last(&self, addresses: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut found = None;
        for address in addresses.take(HOPS_MAX) {
            let address = address?.to_canonical();
            found = Some(address);
            if !self.trusts(address) {
                return found;
            }
        }
        found
    }
}

/// What a limit per address counts by.
pub fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let kept = u128::MAX << (u128::BITS - V6_PREFIX);
            Ipv6Addr::from_bits(v6.to_bits() & kept).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Whether a proxy passed the request on, trusted or not.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDING.iter().any(|name| headers.contains_key(*name))
}

/// All lines of a header as one, in order. A line that is no text makes the whole unreadable.
fn values(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    (!lines.is_empty()).then(|| lines.join(","))
}

/// An address with or without a port, in brackets or quotes or not.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|place| place.ip()))
}

/// The `for` of one element of `Forwarded` (RFC 7239).
fn element_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(trusted: &[&str], peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted: Vec<String> = trusted.iter().map(|text| (*text).to_owned()).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Proxies::parse(&trusted).unwrap().client(peer.parse().unwrap(), &map).to_string()
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let spoofed = [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4")];
        assert_eq!(resolved(&[], "9.9.9.9", &spoofed), "9.9.9.9");
        assert_eq!(resolved(&["10.0.0.0/8"], "9.9.9.9", &spoofed), "9.9.9.9");
        assert_eq!(resolved(&[], "::ffff:9.9.9.9", &[]), "9.9.9.9");
    }

    #[test]
    fn the_right_most_address_that_is_not_a_proxys_is_the_clients() {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48", "127.0.0.1"];
        for (header, client) in [
            ("1.2.3.4", "1.2.3.4"),
            ("6.6.6.6, 1.2.3.4", "1.2.3.4"), // the left one is what the client said of itself
            ("garbage, 1.2.3.4", "1.2.3.4"),
            ("6.6.6.6, 1.2.3.4, 10.1.1.1 ,10.2.2.2", "1.2.3.4"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"), // somebody inside
            ("1.2.3.4:5678", "1.2.3.4"),
            ("[2001:db8:2::1]:443", "2001:db8:2::1"),
            ("2001:db8:2::1, 2001:db8:1::7", "2001:db8:2::1"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(resolved(&trusted, "10.0.0.1", &[("x-forwarded-for", header)]), client, "{header}");
        }
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "1.2.3.4")];
        assert_eq!(resolved(&trusted, "127.0.0.1", &lines), "1.2.3.4", "the last line is the nearest");
        for (header, client) in [
            ("for=1.2.3.4", "1.2.3.4"),
            ("for=6.6.6.6, For=\"[2001:db8:2::1]:443\";proto=https;by=10.0.0.1, for=10.2.2.2", "2001:db8:2::1"),
        ] {
            assert_eq!(resolved(&trusted, "10.0.0.1", &[("forwarded", header)]), client, "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_contradicts_itself_leaves_the_peer() {
        let endless = format!("1.2.3.4{}", ", 10.2.2.2".repeat(HOPS_MAX));
        for header in ["", "unknown", "1.2.3.4, unknown", "1.2.3.4, ", "1.2.3.4.5", "_hidden", "1.2.3.4 10.1.1.1"] {
            assert_eq!(resolved(&["10.0.0.0/8"], "10.0.0.1", &[("x-forwarded-for", header)]), "10.0.0.1", "{header:?}");
            assert_eq!(resolved(&["10.0.0.0/8"], "10.0.0.1", &[("forwarded", header)]), "10.0.0.1", "{header:?}");
        }
        assert_eq!(resolved(&["10.0.0.0/8"], "10.0.0.1", &[("x-forwarded-for", &endless)]), "10.2.2.2");
        let both = |standard: &str| {
            resolved(&["10.0.0.0/8"], "10.0.0.1", &[("x-forwarded-for", "1.2.3.4"), ("forwarded", standard)])
        };
        assert_eq!((both("for=1.2.3.4").as_str(), both("for=6.6.6.6").as_str()), ("1.2.3.4", "10.0.0.1"));
    }

    #[test]
    fn an_ipv6_client_is_counted_by_its_network() {
        let group = |text: &str| group(text.parse().unwrap()).to_string();
        assert_eq!(group("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_ne!(group("2001:db8:1:3::1"), group("2001:db8:1:2::1"));
        assert_eq!((group("1.2.3.4"), group("::ffff:1.2.3.4")), ("1.2.3.4".into(), "1.2.3.4".into()));
    }

    #[test]
    fn networks_that_are_none_are_named() {
        for wrong in ["10.0.0.0/33", "example.com", ""] {
            assert_eq!(Proxies::parse(&[wrong.to_owned()]).unwrap_err(), wrong);
        }
    }
}
