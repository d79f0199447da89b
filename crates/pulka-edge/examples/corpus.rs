//! Captures as a corpus for the fuzz targets: `cargo run --release -p pulka-edge --example corpus OUT FILE...` writes `OUT/windivert` (as that driver
//! records such traffic) and `OUT/replay` (what a tracker was told of it).

use std::path::{Path, PathBuf};

use pulka_edge::event::{blocks, write_block};
use pulka_edge::tracker::{Bounds, Tracker};
use pulka_edge::windivert::{Ticks, WinDivert};
use pulka_l7::capture::file::File;
use pulka_l7::decoder::Limits;

const BOUNDS: Bounds = Bounds { connections_max: 1000, keys_max: 1000, held_bytes_max: 16 << 20, idle_ns: i64::MAX, limits: Limits::DEFAULT };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let directory = arguments.next().ok_or("name a directory and capture files")?;
    for target in ["windivert", "replay"] {
        std::fs::create_dir_all(directory.join(target))?;
    }
    for (index, file) in arguments.enumerate() {
        let recording = sniffed(&file)?;
        std::fs::write(directory.join(format!("replay/capture-{index}")), tapped(&recording))?;
        std::fs::write(directory.join(format!("windivert/capture-{index}")), recording)?;
    }
    Ok(())
}

/// Every packet from its IP header on, as one that goes out.
fn sniffed(file: &Path) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut out = Vec::new();
    File::default().push(&std::fs::read(file)?, &mut |packet| {
        let header_bytes = [(1, 14), (0, 4), (113, 16)].iter().find(|(link, _)| *link == packet.link).map_or(0, |(_, bytes)| *bytes);
        let mut block = [(packet.at_ns as u64 / 100).to_le_bytes(), (1u64 << 17).to_le_bytes()].concat();
        block.resize(80, 0);
        block.extend(packet.data.get(header_bytes..).unwrap_or_default());
        write_block(&block, &mut out);
    })?;
    Ok(out)
}

fn tapped(recording: &[u8]) -> Vec<u8> {
    let (mut source, mut tracker) = (WinDivert::new(Ticks { per_s: 10_000_000, reading: 0, at_ns: 0 }, 1000), Tracker::new(BOUNDS));
    tracker.tap = Some(Vec::new());
    blocks(recording).for_each(|block| source.block(block, &mut |event| tracker.take(event)));
    tracker.tap.take().unwrap_or_default()
}
