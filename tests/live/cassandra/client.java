import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.DriverException;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.BatchStatement;
import com.datastax.oss.driver.api.core.cql.BatchType;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.cql.ResultSet;
import com.datastax.oss.driver.api.core.cql.SimpleStatement;
import com.datastax.oss.driver.api.core.cql.Statement;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletionStage;

/** Orders in Cassandra: `java -cp JARS client.java PORT V4|V5 none|lz4 [later]` says how often it asked for what: operation, error, count. */
class client {
  static final Map<String, Integer> asked = new TreeMap<>();

  static void count(String operation, String error, int times) {
    asked.merge(operation + "\t" + error, times, Integer::sum);
  }

  /** Executes and reads all pages, each of which is a request. */
  static void ask(CqlSession session, String operation, Statement<?> statement) {
    try {
      ResultSet rows = session.execute(statement);
      rows.forEach(row -> {});
      count(operation, "", rows.getExecutionInfos().size());
    } catch (DriverException failed) {
      count(operation, failed.getClass().getSimpleName(), 1);
    }
  }

  static void ask(CqlSession session, String statement) {
    ask(session, statement.split(" ")[0], SimpleStatement.newInstance(statement));
  }

  static PreparedStatement prepare(CqlSession session, String statement) {
    count("PREPARE", "", 1);
    return session.prepare(statement);
  }

  static void create(CqlSession session) {
    ask(session, "CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}");
    ask(session, "CREATE TABLE shop.orders (id int PRIMARY KEY, item text)");
    ask(session, "CREATE TABLE shop.orders (id int PRIMARY KEY, item text)");
  }

  static void plain(CqlSession session) {
    for (int id = 0; id < 300; id++) {
      ask(session, "INSERT", SimpleStatement.newInstance("INSERT INTO orders (id, item) VALUES (?, 'secret')", id));
      ask(session, "SELECT item FROM orders WHERE id = " + id);
    }
    ask(session, "SELECT", SimpleStatement.newInstance("SELECT id FROM orders").setPageSize(50));
    ask(session, "UPDATE orders SET item = 'secret' WHERE id = 1");
    ask(session, "DELETE FROM orders WHERE id = 2");
    ask(session, "INSERT INTO orders (id, item) VALUES (1, 'secret') IF NOT EXISTS");
    for (int number = 0; number < 5; number++) {
      ask(session, "SELECT", SimpleStatement.newInstance("SELECT id FROM orders LIMIT 1").setTracing(true));
      ask(session, "SELECT", SimpleStatement.newInstance("SELECT id FROM orders LIMIT 1").setCustomPayload(Map.of("tenant", ByteBuffer.wrap(new byte[40]))));
      ask(session, "SELECT * FROM gone");
      ask(session, "SELECT item FROM orders WHERE");
    }
    for (int number = 0; number < 3; number++) {
      ask(session, "INSERT", SimpleStatement.newInstance("INSERT INTO orders (id, item) VALUES (?, ?)", 1000 + number, "secret".repeat(50_000)));
      ask(session, "SELECT item FROM orders WHERE id = " + (1000 + number));
    }
  }

  /** Prepared statements, many at a time on one connection. */
  static void prepared(CqlSession session) {
    PreparedStatement insert = prepare(session, "INSERT INTO orders (id, item) VALUES (?, ?)");
    PreparedStatement select = prepare(session, "SELECT item FROM orders WHERE id = ?");
    var underway = new ArrayList<CompletionStage<?>>();
    for (int id = 0; id < 300; id++) {
      underway.add(session.executeAsync(insert.bind(id, "secret".repeat(id % 50))));
      underway.add(session.executeAsync(select.bind(id)));
    }
    underway.forEach(one -> one.toCompletableFuture().join());
    count("INSERT", "", 300);
    count("SELECT", "", 300);
    for (int number = 0; number < 10; number++) {
      ask(session, "BATCH", BatchStatement.newInstance(BatchType.LOGGED, insert.bind(number, "secret"), insert.bind(number + 1, "secret")));
    }
    ask(session, "BATCH", BatchStatement.newInstance(BatchType.UNLOGGED, SimpleStatement.newInstance("DELETE FROM orders WHERE id = 9")));
    ask(session, "TRUNCATE orders");
  }

  /** Says that it is connected, waits for a line, and only then counts what it asks. */
  static void later(CqlSession session) throws IOException {
    System.out.println("connected");
    System.in.read();
    asked.clear();
    for (int id = 0; id < 100; id++) {
      ask(session, "SELECT item FROM shop.orders WHERE id = " + id);
      ask(session, "SELECT * FROM shop.gone");
    }
  }

  static void shop(CqlSession session) {
    plain(session);
    prepared(session);
    ask(session, "DROP KEYSPACE shop");
  }

  public static void main(String[] words) throws IOException {
    var config = DriverConfigLoader.programmaticBuilder()
        .withString(DefaultDriverOption.PROTOCOL_VERSION, words[1])
        .withString(DefaultDriverOption.PROTOCOL_COMPRESSION, words[2])
        .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(60))
        .build();
    var builder = CqlSession.builder().addContactPoint(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0]))).withLocalDatacenter("datacenter1").withConfigLoader(config);
    try (CqlSession session = builder.build()) {
      create(session);
      if (words.length > 3) later(session);
    }
    if (words.length == 3) {
      try (CqlSession session = builder.withKeyspace("shop").build()) {
        shop(session);
      }
    }
    asked.forEach((what, times) -> System.out.println(what + "\t" + times));
  }
}
