import com.sun.net.httpserver.*;
import java.io.*;
import java.net.InetSocketAddress;
import java.security.KeyStore;
import javax.net.ssl.*;

/** An HTTPS server of the JDK: `java server.java keys.p12 password`. Prints its port. */
class Shop {
    public static void main(String[] words) throws Exception {
        var keys = KeyStore.getInstance("PKCS12");
        keys.load(new FileInputStream(words[0]), words[1].toCharArray());
        var managers = KeyManagerFactory.getInstance("SunX509");
        managers.init(keys, words[1].toCharArray());
        var context = SSLContext.getInstance("TLS");
        context.init(managers.getKeyManagers(), null, null);
        var server = HttpsServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.setHttpsConfigurator(new HttpsConfigurator(context));
        server.createContext("/", exchange -> {
            boolean missing = exchange.getRequestURI().getPath().equals("/missing");
            exchange.sendResponseHeaders(missing ? 404 : 200, missing ? -1 : 5);
            if (!missing) exchange.getResponseBody().write("hello".getBytes());
            exchange.close();
        });
        server.start();
        System.out.println(server.getAddress().getPort());
    }
}
