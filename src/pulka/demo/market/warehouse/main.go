// What there is left: `warehouse PORT`.
package main

import (
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"time"
)

func main() {
	http.HandleFunc("/stock/", func(answer http.ResponseWriter, request *http.Request) {
		time.Sleep(time.Duration(rand.Intn(3000)) * time.Microsecond)
		fmt.Fprintln(answer, rand.Intn(20))
	})
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
