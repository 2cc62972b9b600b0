//! Whose address a request counts for.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether `address` is one of a proxy whose word counts.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// The address that a request comes from: the peer's; or, when that is a trusted proxy, the rightmost one
/// of `X-Forwarded-For` that is not itself trusted. What stands left of it is what its sender chose to
/// write. If there is none, or what stands there is no address, it is the peer.
pub fn client_ip(peer: IpAddr, trusted: &[IpNet], headers: &HeaderMap) -> IpAddr {
    let peer = peer.to_canonical();
    if !is_trusted(peer, trusted) {
        return peer;
    }
    // Lines of one header are one list; proxies add to its end.
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    for line in lines {
        let Ok(line) = line.to_str() else {
            return peer;
        };
        for written in line.rsplit(',') {
            match address(written.trim()) {
                None => return peer,
                Some(found) if is_trusted(found, trusted) => {}
                Some(found) => return found,
            }
        }
    }
    peer
}

/// An address as proxies write it: alone, with a port, an IPv6 one in brackets or not.
fn address(written: &str) -> Option<IpAddr> {
    let bare = written
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(written);
    let found = bare.parse().ok();
    let found = found.or_else(|| Some(written.parse::<SocketAddr>().ok()?.ip()));
    found.map(|address| address.to_canonical())
}

/// What of an address counts as one client: an IPv4 address, or the /64 of an IPv6 address, because
/// whoever has one address there has them all.
pub(super) fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() & (u128::MAX << 64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        client_ip(peer.parse().unwrap(), &trusted, &headers).to_string()
    }

    #[test]
    fn only_trusted_peers_are_believed() {
        assert_eq!(client("203.0.113.1", &["198.51.100.1"]), "203.0.113.1");
        assert_eq!(client("203.0.113.1", &[]), "203.0.113.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:203.0.113.1", &[]), "203.0.113.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn the_rightmost_that_is_not_trusted_counts() {
        let spoofed = "1.1.1.1, 198.51.100.1, 10.0.0.7";
        assert_eq!(client("10.0.0.1", &[spoofed]), "198.51.100.1");
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1", "198.51.100.1"]),
            "198.51.100.1"
        );
        let (left, right) = ("198.51.100.1", "10.0.0.7, ::ffff:10.0.0.9");
        assert_eq!(client("fd00::1", &[left, right]), "198.51.100.1");
        // All of the operator's own: then the one that we see.
        assert_eq!(client("10.0.0.1", &["10.0.0.7, 127.0.0.1"]), "10.0.0.1");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (written, expect) in [
            ("198.51.100.1:443", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            (" 198.51.100.1 ", "198.51.100.1"),
        ] {
            assert_eq!(client("10.0.0.1", &[written]), expect, "{written}");
        }
        // What is none stands for nobody, whatever is left of it.
        for garbage in [
            "",
            "unknown",
            "198.51.100.1,",
            "198.51.100.1, _hidden",
            "198.51.100.1 203.0.113.1",
            "198.51.100.300",
        ] {
            assert_eq!(client("10.0.0.1", &[garbage]), "10.0.0.1", "{garbage}");
        }
        let mut headers = HeaderMap::new();
        let bytes = http::HeaderValue::from_bytes(b"198.51.100.1, \xff").unwrap();
        headers.insert(FORWARDED_FOR, bytes);
        let peer = "10.0.0.1".parse().unwrap();
        assert_eq!(
            client_ip(peer, &["10.0.0.0/8".parse().unwrap()], &headers),
            peer
        );
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_a_network_of_ipv6() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
        assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }
}
