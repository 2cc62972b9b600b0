//! Which addresses a guest may reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The server's own exceptions from the rule that guests reach public addresses only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressPolicy {
    /// Networks guests may reach although they are not public. Empty unless the server's config says so.
    #[serde(default)]
    pub allow_private: Vec<IpNet>,
}

impl EgressPolicy {
    /// Whether a guest's connection may go to `address`. Asked of every address after DNS, and the
    /// connection is made to the very address that was asked about.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || self
                .allow_private
                .iter()
                .any(|network| network.contains(&address))
    }
}

/// Whether an address belongs to the public internet.
///
/// Source: the IANA special-purpose registries for IPv4 and IPv6. An IPv6 address that carries an IPv4
/// address (mapped, compatible, NAT64, 6to4, Teredo) is public only if both are.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0 // this network
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b)) // shared by carriers, 100.64/10
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // 6to4 relays, deprecated
        || address.is_documentation()
        || (a == 198 && (18..20).contains(&b)) // benchmarking
        || a >= 224) // multicast, reserved, broadcast
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [a, b, ..] = segments;
    let embedded = |high: u16, low: u16| {
        let [first, second] = high.to_be_bytes();
        let [third, fourth] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(first, second, third, fourth))
    };
    match segments {
        // Unspecified, loopback, IPv4-compatible, IPv4-mapped, IPv4-translated.
        [0, 0, 0, 0, 0, 0, high, low] => high != 0 && embedded(high, low),
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            embedded(high, low)
        }
        // NAT64, well-known prefix; the local-use one, 64:ff9b:1::/48, leads inside by definition.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        // Teredo: the server's address, and the client's with its bits turned.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            embedded(server_high, server_low) && embedded(!high, !low)
        }
        // 6to4.
        [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments, documentation.
        _ if a == 0x2001 && b < 0x200 => false,
        _ if a == 0x2001 && b == 0xdb8 => false,
        _ if a == 0x3fff && b < 0x1000 => false,
        // Segment identifiers.
        _ if a == 0x5f00 => false,
        // Global unicast is all that is left: unique local, link-local, site-local, multicast,
        // discard-only and unassigned space lie outside of it.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, expect: bool) {
        let policy = EgressPolicy::default();
        assert_eq!(
            policy.permits(address.parse().unwrap()),
            expect,
            "{address}"
        );
    }

    #[test]
    fn shut_addresses() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "198.19.255.255",
            "192.88.99.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:7f00:1::1",
            "2001::1",
            "2001:db8::1",
            "2001:10::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "4000::1",
        ] {
            check(address, false);
        }
    }

    #[test]
    fn open_addresses() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:200::1",
        ] {
            check(address, true);
        }
    }

    #[test]
    fn a_server_may_allow_a_network() {
        let policy = EgressPolicy {
            allow_private: vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
        };
        for (address, expect) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("fd12::1", true),
            ("::1", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(
                policy.permits(address.parse().unwrap()),
                expect,
                "{address}"
            );
        }
    }
}
