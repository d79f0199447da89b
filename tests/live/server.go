package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/missing" {
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(404)
			return
		}
		w.Header().Set("Content-Length", "5")
		w.Write([]byte("hello"))
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	panic(http.ServeTLS(l, nil, os.Args[1], os.Args[2]))
}
