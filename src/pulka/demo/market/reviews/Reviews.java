// What others said: `java Reviews PORT`.
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Reviews {
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 0);
        server.createContext("/reviews", exchange -> {
            byte[] body = "five stars".getBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
