//! Prints what the programs see for some seconds: `records OBJECT [SECONDS]`. For looking, not for use.

#[cfg(target_os = "linux")]
fn main() {
    use std::time::{Duration, Instant};
    let mut arguments = std::env::args().skip(1);
    let object = std::fs::read(arguments.next().expect("the object")).expect("the object can be read");
    let seconds: u64 = arguments.next().map_or(5, |text| text.parse().expect("seconds"));
    let mut probe = pulka_probe::Probe::attach(&object, pulka_probe::Limits::default(), &[]).expect("attached");
    for feature in probe.features() {
        println!("{}: {:?}", feature.name, feature.answer);
    }
    let files = probe.files();
    println!("{} sockets", files.len());
    for conn in files.iter().take(5) {
        println!("{conn:?}");
    }
    let mut ring = probe.ring().expect("a ring");
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut count = 0u64;
    while Instant::now() < end {
        ring.wait(Duration::from_millis(50));
        ring.drain(u64::MAX, |record| {
            count += 1;
            if count < 40 {
                println!("{record:?}");
            }
        });
    }
    println!("{count} records, dropped {:?}", probe.drops());
}

#[cfg(not(target_os = "linux"))]
fn main() {}
