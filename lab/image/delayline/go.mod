module fortress/delayline

go 1.20
