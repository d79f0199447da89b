package main

import (
	"context"
	"log/slog"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// FerretDB over SQLite in a directory.
func serve(port, directory string) {
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:" + port},
		Handler:   "sqlite",
		SQLiteURL: "file:" + directory + "/",
		Logger:    slog.New(slog.DiscardHandler),
	})
	check(err)
	check(server.Run(context.Background()))
}
