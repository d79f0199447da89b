//! Captures as a corpus for the fuzz targets of decoders: `cargo run --release -p pulka-l7 --example corpus OUT FILE...`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pulka_l7::capture::file::File;
use pulka_l7::capture::packet::segment;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let directory = arguments.next().ok_or("name a directory and capture files")?;
    std::fs::create_dir_all(&directory)?;
    for (index, file) in arguments.enumerate() {
        std::fs::write(directory.join(format!("capture-{index}")), script(&file)?)?;
    }
    Ok(())
}

/// (side, length, data) of every payload, as `testing::feed_anything` reads it.
fn script(file: &Path) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let (mut out, mut first) = (Vec::new(), None::<SocketAddr>);
    File::default().push(&std::fs::read(file)?, &mut |packet| {
        let Some(segment) = segment(packet.link, packet.data).filter(|segment| !segment.payload.is_empty()) else { return };
        let side = u8::from(*first.get_or_insert(segment.source) != segment.source);
        let length = segment.payload.len().min(usize::from(u16::MAX));
        out.extend([side, length as u8, (length >> 8) as u8]);
        out.extend(&segment.payload[..length]);
    })?;
    Ok(out)
}
