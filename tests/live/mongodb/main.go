// A server and a client of MongoDB's protocol:
//   - `mongodb serve PORT DIRECTORY`
//   - `mongodb ask PORT` says, as its driver's command monitor counted them, how often it asked for what: command,
//     collection, error, count
//   - `mongodb counted PORT` says what the server counted: command, total, failed
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
)

type asked struct{ command, collection, error string }

type counter struct {
	lock       sync.Mutex
	collection map[int64]string
	counts     map[asked]int
}

func (counter *counter) monitor() *event.CommandMonitor {
	return &event.CommandMonitor{
		Started: func(_ context.Context, begun *event.CommandStartedEvent) {
			counter.lock.Lock()
			defer counter.lock.Unlock()
			collection, isText := begun.Command.Lookup(begun.CommandName).StringValueOK()
			if !isText {
				collection, _ = begun.Command.Lookup("collection").StringValueOK()
			}
			counter.collection[begun.RequestID] = collection
		},
		Succeeded: func(_ context.Context, done *event.CommandSucceededEvent) {
			code := ""
			if of, isNumber := done.Reply.Lookup("writeErrors", "0", "code").AsInt64OK(); isNumber {
				code = strconv.FormatInt(of, 10)
			}
			counter.count(done.CommandFinishedEvent, code)
		},
		Failed: func(_ context.Context, done *event.CommandFailedEvent) {
			name := done.Failure.Error()
			if refused := (driver.Error{}); errors.As(done.Failure, &refused) {
				name = refused.Name
			}
			counter.count(done.CommandFinishedEvent, name)
		},
	}
}

func (counter *counter) count(done event.CommandFinishedEvent, err string) {
	counter.lock.Lock()
	defer counter.lock.Unlock()
	counter.counts[asked{done.CommandName, counter.collection[done.RequestID], err}]++
}

type document = bson.D

func order(id int) document { return document{{"_id", id}, {"item", "secret"}, {"units", id % 7}} }

func write(ctx context.Context, orders *mongo.Collection) {
	for id := range 300 {
		must(orders.InsertOne(ctx, order(id)))
	}
	many := make([]any, 700)
	for number := range many {
		many[number] = order(300 + number)
	}
	must(orders.InsertMany(ctx, many))
	for id := range 20 {
		refused(orders.InsertOne(ctx, order(id)))
	}
	for id := range 50 {
		must(orders.UpdateOne(ctx, document{{"_id", id}}, document{{"$set", document{{"item", "other secret"}}}}))
		must(orders.DeleteOne(ctx, document{{"_id", 900 + id}}))
	}
	check(orders.FindOneAndUpdate(ctx, document{{"_id", 1}}, document{{"$inc", document{{"units", 1}}}}).Err())
}

func read(ctx context.Context, orders *mongo.Collection) {
	for id := range 200 {
		check(orders.FindOne(ctx, document{{"_id", id}}).Err())
	}
	all, err := orders.Find(ctx, document{}, options.Find().SetBatchSize(50))
	check(err)
	check(all.All(ctx, new([]document)))
	some, err := orders.Find(ctx, document{}, options.Find().SetBatchSize(10))
	check(err)
	check(some.Close(ctx)) // killCursors
	for range 30 {
		sums, err := orders.Aggregate(ctx, mongo.Pipeline{{{"$match", document{{"units", 3}}}}, {{"$group", document{{"_id", "$units"}, {"n", document{{"$sum", 1}}}}}}})
		check(err)
		check(sums.All(ctx, new([]document)))
	}
	check(orders.Distinct(ctx, "units", document{}).Err())
	must(orders.CountDocuments(ctx, document{}))
}

func fail(ctx context.Context, database *mongo.Database) {
	orders := database.Collection("orders")
	for range 5 {
		refused(orders.Find(ctx, document{{"item", document{{"$gone", 1}}}}))
		refused(orders.Aggregate(ctx, mongo.Pipeline{{{"$gone", 1}}}))
	}
	check(refusal(database.RunCommand(ctx, document{{"noSuchCommand", 1}}).Err()))
}

func connect(port string, counter *counter) *mongo.Client {
	where := options.Client().ApplyURI("mongodb://127.0.0.1:" + port + "/?directConnection=true").SetMonitor(counter.monitor()).SetMaxPoolSize(1)
	client, err := mongo.Connect(where)
	check(err)
	return client
}

func ask(ctx context.Context, port string) {
	counter := counter{collection: map[int64]string{}, counts: map[asked]int{}}
	client := connect(port, &counter)
	database := client.Database("shop")
	orders := database.Collection("orders")
	write(ctx, orders)
	read(ctx, orders)
	fail(ctx, database)
	check(orders.Drop(ctx))
	check(client.Disconnect(ctx))
	for what, count := range counter.counts {
		fmt.Printf("%s\t%s\t%s\t%d\n", what.command, what.collection, what.error, count)
	}
}

func counted(ctx context.Context, port string) {
	client := connect(port, &counter{collection: map[int64]string{}, counts: map[asked]int{}})
	var status struct {
		Metrics struct {
			Commands map[string]struct{ Total, Failed int64 }
		}
	}
	check(client.Database("admin").RunCommand(ctx, document{{"serverStatus", 1}}).Decode(&status))
	for command, count := range status.Metrics.Commands {
		fmt.Printf("%s\t%d\t%d\n", command, count.Total, count.Failed)
	}
	check(client.Disconnect(ctx))
}

func main() {
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2], os.Args[3])
	case "ask":
		ask(context.Background(), os.Args[2])
	case "counted":
		counted(context.Background(), os.Args[2])
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](_ T, err error) { check(err) }

func refused[T any](_ T, err error) { check(refusal(err)) }

func refusal(err error) error {
	if err == nil {
		return errors.New("was not refused")
	}
	return nil
}
