module market.example/warehouse

go 1.19
