//! Which addresses a crawl may connect to. Checked on the address that is connected to, so a name that changes its answer gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Whether an address is on the public internet. Refused are those of the IANA special-purpose registries (RFC 6890) that can
/// name something inside an operator's network: private, loopback, link-local with its metadata services, shared (carrier),
/// unique-local, multicast, documentation and unspecified ones, and IPv6 forms that carry such an IPv4 address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // Shared address space, RFC 6598.
        || (a == 192 && b == 0 && c == 0) // IETF protocol assignments.
        || (a == 192 && b == 88 && c == 99) // 6to4 relays, RFC 7526.
        || (a == 198 && (b == 18 || b == 19))) // Benchmarks, RFC 2544.
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let last_v4 = || {
        let [.., a, b] = parts;
        Ipv4Addr::from((u32::from(a) << 16) | u32::from(b))
    };
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    match parts {
        // ::, ::1 and the deprecated IPv4-compatible form.
        [0, 0, 0, 0, 0, 0, ..] => false,
        // NAT64, RFC 6052 and its local-use prefix of RFC 8215.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(last_v4()),
        [0x64, 0xff9b, 1, ..] => false,
        // 6to4 carries its IPv4 address in the second and third part.
        [0x2002, a, b, ..] => is_public_v4(Ipv4Addr::from((u32::from(a) << 16) | u32::from(b))),
        // Teredo, ORCHID, benchmarks: all of 2001::/23; documentation: 2001:db8::/32 and 3fff::/20.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Global unicast is 2000::/3; unique-local, link-local, site-local and multicast lie outside.
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// Whether a crawl may ask for this address at all: scheme, no password in it, and no private literal. Names are judged when
/// they are resolved.
///
/// # Errors
/// The reason why not.
pub fn check_url(url: &Url, allow_private: bool) -> Result<(), super::Reason> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(super::Reason::UnsupportedScheme);
    }
    let literal = match url.host() {
        Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
        Some(Host::Domain(_)) => None,
        None => return Err(super::Reason::UnsupportedScheme),
    };
    if !allow_private && literal.is_some_and(|address| !is_public(address)) {
        return Err(super::Reason::PrivateAddress);
    }
    Ok(())
}

/// What the resolver says instead of giving an address that is not public.
#[derive(Debug, thiserror::Error)]
#[error("the name leads to a private address")]
pub(super) struct Refused;

/// Keeps the addresses a crawl may connect to.
pub(super) fn permitted(
    addresses: impl Iterator<Item = SocketAddr>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, Refused> {
    let all: Vec<SocketAddr> = addresses.collect();
    let any = !all.is_empty();
    let kept: Vec<SocketAddr> = all.into_iter().filter(|address| allow_private || is_public(address.ip())).collect();
    if any && kept.is_empty() { Err(Refused) } else { Ok(kept) }
}

/// The resolver given to the HTTP client: what it returns is what is connected to, there is no second look-up in between.
#[derive(Clone, Copy, Debug)]
pub(super) struct GuardedResolver {
    pub allow_private: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept = permitted(found, allow_private)?;
            let addresses: Addrs = Box::new(kept.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;
    use url::Url;

    use super::{GuardedResolver, Refused, check_url, is_public, permitted};
    use crate::crawl::Reason;

    #[test]
    fn addresses_inside_a_network_are_not_public() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.9",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
        ] {
            assert!(!is_public(private.parse().expect("address")), "{private}");
        }
        for public in [
            "1.1.1.1",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "9.9.9.9",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(public.parse().expect("address")), "{public}");
        }
    }

    #[test]
    fn literal_private_addresses_are_refused_in_every_spelling() {
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://10.0.0.1:8080/",
        ] {
            let url = Url::parse(url).expect("url");
            assert_eq!(check_url(&url, false), Err(Reason::PrivateAddress), "{url}");
            assert_eq!(check_url(&url, true), Ok(()), "{url}");
        }
        assert_eq!(check_url(&Url::parse("ftp://example.com/").expect("url"), true), Err(Reason::UnsupportedScheme));
    }

    #[test]
    fn a_name_with_only_private_addresses_is_refused_and_a_mixed_one_loses_them() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("address");
        let mixed = [address("10.0.0.1:0"), address("1.1.1.1:0")];
        assert_eq!(permitted(mixed.into_iter(), false).expect("one is left"), [address("1.1.1.1:0")]);
        assert!(matches!(permitted([address("[::1]:0")].into_iter(), false), Err(Refused)));
        assert_eq!(permitted([address("[::1]:0")].into_iter(), true).expect("allowed").len(), 1);
    }

    #[tokio::test]
    async fn the_resolver_refuses_localhost() {
        use reqwest::dns::Resolve;
        let name = || "localhost".parse().expect("name");
        assert!(GuardedResolver { allow_private: false }.resolve(name()).await.is_err());
        assert!(GuardedResolver { allow_private: true }.resolve(name()).await.is_ok());
    }

    proptest! {
        #[test]
        fn mapping_an_address_into_ipv6_never_changes_the_verdict(v4 in any::<u32>()) {
            let v4 = std::net::Ipv4Addr::from(v4);
            prop_assert_eq!(is_public(v4.into()), is_public(v4.to_ipv6_mapped().into()));
        }
    }
}
