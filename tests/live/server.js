// An HTTPS server of Node.js, whose OpenSSL is linked into the binary and works on memory: node server.js cert.pem key.pem
const fs = require("fs");
const [cert, key] = process.argv.slice(2).map((path) => fs.readFileSync(path));
const server = require("https").createServer({ cert, key }, (request, response) => {
  const missing = request.url === "/missing";
  response.writeHead(missing ? 404 : 200, { "Content-Length": missing ? 0 : 5 });
  response.end(missing ? "" : "hello");
});
server.keepAliveTimeout = 60000;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
