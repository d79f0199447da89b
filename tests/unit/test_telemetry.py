from pulka.telemetry import Registry


def test_the_prometheus_text_format():
    registry = Registry()
    registry.counter("pulka_a_total", "Things", "kind").add(2, 'x"y')
    registry.gauge("pulka_b_bytes", "Size", lambda: 1.5)
    registry.gauges("pulka_ba", "Sizes", lambda: {("x",): 1, ("y",): 2}, "kind")
    histogram = registry.histogram("pulka_c_seconds", "Time", bounds=(0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 3):
        histogram.observe(value)
    assert registry.render() == (
        "# HELP pulka_a_total Things.\n# TYPE pulka_a_total counter\n"
        'pulka_a_total{kind="x\\"y"} 2\n'
        "# HELP pulka_b_bytes Size.\n# TYPE pulka_b_bytes gauge\npulka_b_bytes 1.5\n"
        '# HELP pulka_ba Sizes.\n# TYPE pulka_ba gauge\npulka_ba{kind="x"} 1\npulka_ba{kind="y"} 2\n'
        "# HELP pulka_c_seconds Time.\n# TYPE pulka_c_seconds histogram\n"
        'pulka_c_seconds_bucket{le="0.1"} 2\npulka_c_seconds_bucket{le="1"} 3\npulka_c_seconds_bucket{le="+Inf"} 4\n'
        "pulka_c_seconds_sum 3.65\npulka_c_seconds_count 4\n"
    )


def test_asking_again_gives_the_same_metric():
    registry = Registry()
    registry.counter("pulka_a_total", "Things").add()
    assert registry.counter("pulka_a_total", "Things").value() == 1
