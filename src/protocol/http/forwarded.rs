//! Who is at the other end, when proxies stand between: `X-Forwarded-For`, believed with care.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The address of the client, with IPv4 in IPv6 taken as IPv4.
///
/// `forwarded_for` are the `X-Forwarded-For` lines of the request in order; each proxy appends
/// whom it heard from. The way back is walked from `peer` on, from the right of the list, over
/// hops in `trusted`; the first that is not trusted is the client, and whatever stands to its left
/// is its own invention. Where a trusted hop passed on what is no address, that hop is all that
/// is known, and it is the answer.
pub fn client_addr<'h>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'h str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |addr: IpAddr| trusted.iter().any(|net| net.contains(addr));
    let mut client = peer.to_canonical();
    for hop in forwarded_for.rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        match hop_addr(hop.trim()) {
            Some(addr) => client = addr.to_canonical(),
            None => break,
        }
    }
    client
}

/// A block of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address. Bits behind the prefix
/// are ignored, and IPv4 in IPv6 (`::ffff:10.0.0.0/104`) is the IPv4 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNet {
    /// Zero behind the prefix.
    addr: IpAddr,
    prefix_bits: u8,
}

/// What was to be a block of addresses is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address or a block like 10.0.0.0/8")]
pub struct BadIpNet;

impl IpNet {
    /// True exactly when the address is in the block, IPv4 in IPv6 taken as IPv4.
    pub fn contains(self, addr: IpAddr) -> bool {
        mask(addr.to_canonical(), self.prefix_bits) == Some(self.addr)
    }
}

impl FromStr for IpNet {
    type Err = BadIpNet;

    fn from_str(text: &str) -> Result<Self, BadIpNet> {
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| BadIpNet)?;
        let width = if addr.is_ipv4() { 32 } else { 128 };
        let mut prefix_bits: u8 = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| BadIpNet)?
            }
            Some(_) => return Err(BadIpNet),
        };
        if prefix_bits > width {
            return Err(BadIpNet);
        }
        let mut canonical = addr;
        if addr.is_ipv6() && prefix_bits >= MAPPED_BITS && addr.to_canonical().is_ipv4() {
            canonical = addr.to_canonical();
            prefix_bits -= MAPPED_BITS;
        }
        Ok(Self { addr: mask(canonical, prefix_bits).ok_or(BadIpNet)?, prefix_bits })
    }
}

/// The prefix of `::ffff:0:0/96` (RFC 4291 §2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// The address with what stands behind the prefix set to zero; `None` if it is shorter than that.
fn mask(addr: IpAddr, prefix_bits: u8) -> Option<IpAddr> {
    let prefix_bits = u32::from(prefix_bits);
    match addr {
        IpAddr::V4(addr) => {
            let host_bits = 32u32.checked_sub(prefix_bits)?;
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(Ipv4Addr::from_bits(addr.to_bits() & mask).into())
        }
        IpAddr::V6(addr) => {
            let host_bits = 128u32.checked_sub(prefix_bits)?;
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(Ipv6Addr::from_bits(addr.to_bits() & mask).into())
        }
    }
}

/// An address, with or without a port, as proxies write them: `192.0.2.1`, `192.0.2.1:80`,
/// `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn hop_addr(hop: &str) -> Option<IpAddr> {
    if let Ok(addr) = hop.parse() {
        return Some(addr);
    }
    if let Ok(addr) = hop.parse::<SocketAddr>() {
        return Some(addr.ip());
    }
    hop.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, lines: &[&str], expect: &str) {
        let trusted = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"].map(|net| net.parse().unwrap());
        let client = client_addr(peer.parse().unwrap(), lines.iter().copied(), &trusted);
        assert_eq!(client, expect.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
    }

    #[test]
    fn a_stranger_is_not_believed() {
        check("192.0.2.1", &["198.51.100.7"], "192.0.2.1");
        check("::ffff:192.0.2.1", &["198.51.100.7"], "192.0.2.1");
        check("2001:db9::1", &["198.51.100.7"], "2001:db9::1");
    }

    #[test]
    fn the_last_hop_that_is_not_trusted_is_the_client() {
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.7"], "198.51.100.7");
        check("::ffff:10.0.0.1", &["198.51.100.7, 10.1.1.1"], "198.51.100.7");
        check("127.0.0.1", &["1.1.1.1, 198.51.100.7,10.1.1.1"], "198.51.100.7");
        check("127.0.0.1", &["1.1.1.1", "198.51.100.7", "10.1.1.1, 10.2.2.2"], "198.51.100.7");
        check("127.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1");
        check("10.0.0.1", &["1.1.1.1, ::ffff:198.51.100.7"], "198.51.100.7");
    }

    #[test]
    fn hops_may_carry_ports() {
        check("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7");
        check("10.0.0.1", &["2001:db9::1"], "2001:db9::1");
        check("10.0.0.1", &["[2001:db9::1]"], "2001:db9::1");
        check("10.0.0.1", &["[2001:db9::1]:4711, [2001:db8::1]:80"], "2001:db9::1");
    }

    #[test]
    fn what_is_no_address_ends_the_way_back() {
        for hop in ["", "unknown", "_x", "198.51.100.7 x", "198.51.100.256", "[::1", "::1]"] {
            check("10.0.0.1", &["1.1.1.1", hop], "10.0.0.1");
            check("10.0.0.1", &[&format!("1.1.1.1, {hop}, 10.1.1.1")], "10.1.1.1");
        }
    }

    #[test]
    fn a_block_contains_what_shares_its_prefix() {
        for (net, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3/8", "10.0.0.0", "9.255.255.255"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "::ffff:192.0.2.1", "::ffff:192.0.2.0"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("::/0", "2001:db8::1", "1.1.1.1"),
            ("2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"),
            ("::1", "::1", "::2"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ] {
            let net: IpNet = net.parse().unwrap();
            assert!(net.contains(inside.parse().unwrap()), "{net:?} {inside}");
            assert!(!net.contains(outside.parse().unwrap()), "{net:?} {outside}");
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in
            ["", "*", "a", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "10/8", "/8"]
        {
            assert_eq!(text.parse::<IpNet>(), Err(BadIpNet), "{text}");
        }
    }
}
