//! Which of several Redis hosts a name belongs to.

/// Several Redis hosts, in the order that Django's settings list them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ring {
    hosts: usize,
}

/// Places on the ring: the lowest 12 bits of a checksum.
const PLACES: u32 = 4_096;

impl Ring {
    /// A ring of `hosts`, at least one.
    pub fn new(hosts: usize) -> Self {
        Self { hosts: hosts.max(1) }
    }

    /// The host of `name`, 0 up to their number: its CRC-32 on a ring of 4,096 places, in equal parts.
    ///
    /// What `name` is depends on the layer: with pub/sub the whole channel, prefix included
    /// ([`Names::pubsub`](super::Names::pubsub)); with the core layer a group's bare name, or a channel's name up to and
    /// including its `!` ([`queue_name`](super::queue_name)), without the prefix.
    pub fn host(self, name: &str) -> usize {
        if self.hosts == 1 {
            return 0;
        }
        // In floating point, because the library divides so, and rounds so at the parts' edges.
        let part = f64::from(PLACES) / self.hosts as f64;
        (f64::from(crc32(name.as_bytes()) % PLACES) / part) as usize
    }
}

/// CRC-32 of ISO 3309, as `zlib` computes it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(u32::MAX, |crc, byte| CRC[((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8))
}

/// The checksum of each byte, by the reflected polynomial.
const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::bus::golden::golden;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn names_belong_to_the_hosts_that_channels_redis_says() {
        let hosts = golden()["hosts"].as_array().unwrap().clone();
        assert!(hosts.len() > 50);
        for entry in hosts {
            let name = entry["name"].as_str().unwrap();
            for (count, host) in (1..).zip(entry["shards"].as_array().unwrap()) {
                assert_eq!(
                    Some(Ring::new(count).host(name) as u64),
                    host.as_u64(),
                    "{name} of {count}"
                );
            }
        }
    }

    #[test]
    fn every_name_has_a_host() {
        for hosts in 1..40 {
            let ring = Ring::new(hosts);
            for id in 0..500 {
                assert!(ring.host(&format!("chat_{id}")) < hosts);
            }
        }
    }
}
