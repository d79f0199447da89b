// gRPC without generated code: `shop serve [cert.pem key.pem]` prints its port; `shop call PORT [cert.pem]` says what it called, as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type message = wrapperspb.BytesValue

func add(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(message)
	if err := decode(in); err != nil {
		return nil, err
	}
	switch string(in.Value) {
	case "none":
		return nil, status.Error(codes.NotFound, "secret")
	case "busy":
		return nil, status.Error(codes.Unavailable, "secret")
	}
	return in, nil
}

func watch(_ any, stream grpc.ServerStream) error {
	in := new(message)
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	for range 20 {
		if err := stream.SendMsg(in); err != nil {
			return err
		}
	}
	return nil
}

var cart = grpc.ServiceDesc{
	ServiceName: "shop.Cart",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Add", Handler: add}},
	Streams:     []grpc.StreamDesc{{StreamName: "Watch", Handler: watch, ServerStreams: true}},
}

func serve(files []string) {
	var options []grpc.ServerOption
	if len(files) == 2 {
		credentials, err := credentials.NewServerTLSFromFile(files[0], files[1])
		check(err)
		options = append(options, grpc.Creds(credentials))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := grpc.NewServer(options...)
	server.RegisterService(&cart, struct{}{})
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	check(server.Serve(listener))
}

func call(port string, files []string) {
	option := grpc.WithTransportCredentials(insecure.NewCredentials())
	if len(files) == 1 {
		credentials, err := credentials.NewClientTLSFromFile(files[0], "localhost")
		check(err)
		option = grpc.WithTransportCredentials(credentials)
	}
	client, err := grpc.NewClient("passthrough:///127.0.0.1:"+port, option)
	check(err)
	calls, lock := map[string]int{}, sync.Mutex{}
	count := func(operation string, err error) {
		lock.Lock()
		calls[operation+" "+status.Code(err).String()]++
		lock.Unlock()
	}
	var workers sync.WaitGroup
	for worker := range 90 {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for number := worker; number < 1800; number += 90 {
				body := make([]byte, number%40*50)
				switch number % 20 {
				case 7:
					body = []byte("none")
				case 13:
					body = []byte("busy")
				}
				count("shop.Cart/Add", client.Invoke(context.Background(), "/shop.Cart/Add", wrapperspb.Bytes(body), new(message)))
			}
		}()
	}
	workers.Wait()
	for range 50 {
		stream, err := client.NewStream(context.Background(), &cart.Streams[0], "/shop.Cart/Watch")
		check(err)
		check(stream.SendMsg(wrapperspb.Bytes(make([]byte, 1000))))
		check(stream.CloseSend())
		for err == nil {
			err = stream.RecvMsg(new(message))
		}
		if err == io.EOF {
			err = nil
		}
		count("shop.Cart/Watch", err)
	}
	check(json.NewEncoder(os.Stdout).Encode(calls))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2:])
	} else {
		call(os.Args[2], os.Args[3:])
	}
}
