// What things cost: `node server.js PORT`.
const http = require("http");

http.createServer((request, response) => {
  setTimeout(() => response.end(JSON.stringify({ price: Math.floor(Math.random() * 100) })), 2 + Math.random() * 6);
}).listen(Number(process.argv[2]), "127.0.0.1");
